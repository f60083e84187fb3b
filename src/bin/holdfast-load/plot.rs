//! Draws a course over time as SVG. It draws what it is given, point by point.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

/// A value over the time of the run.
pub(crate) struct PlotCourse {
    /// The plot's file is named after it.
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// Seconds since the beginning, and the value.
    pub(crate) points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (800, 320);

/// Room above the highest point.
const ABOVE: f64 = 1.1;

/// Writes one plot.
pub(crate) fn write(path: &Path, course: &PlotCourse) -> anyhow::Result<()> {
    draw(path, course).map_err(|error| anyhow!("drawing {}: {error}", path.display()))
}

fn draw(path: &Path, course: &PlotCourse) -> Result<(), Box<dyn std::error::Error>> {
    let largest = |pick: fn(&(f64, f64)) -> f64| course.points.iter().map(pick).fold(0.0, f64::max);
    let (end, high) = (largest(|point| point.0), largest(|point| point.1));
    let high = if high > 0.0 { high * ABOVE } else { 1.0 };
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("{}, {}", course.name, course.unit);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(32)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..end.max(1.0), 0.0..high)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    chart.draw_series(LineSeries::new(course.points.iter().copied(), &BLUE))?;
    root.present()?;
    Ok(())
}
