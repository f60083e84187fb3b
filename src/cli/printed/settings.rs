//! The manual page of the configuration file, made from the table of settings. Knows no configuration that is in use.

use clap_mangen::roff::{Roff, bold, roman};

use crate::node::config::described;

/// What stands at the foot of a page of the manual, and at its head.
pub(super) const SOURCE: &str = concat!("holdfast ", env!("CARGO_PKG_VERSION"));

/// See [`SOURCE`].
pub(super) const MANUAL: &str = "Holdfast";

const DESCRIPTION: &str = "\
The file that holdfast --config FILE reads, in TOML. It may have any name. Every setting has a default, which is shown here behind its \
name, so a file needs only those that differ. A setting in the environment counts instead of the file's: HOLDFAST_SHARDS_COUNT for \
count in the section [shards]. holdfast --config FILE config checks a file, and holdfast print config prints one to begin with.";

/// `holdfast.toml(5)`.
pub(super) fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["HOLDFAST.TOML", "5", "", SOURCE, MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman("holdfast.toml - the configuration of holdfast")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(DESCRIPTION)]);
    add_settings(&mut page);
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("holdfast(1), holdfast-config(1), holdfast-reload(1)")]);
    page.render()
}

fn add_settings(page: &mut Roff) {
    let mut section_before = "";
    for setting in described() {
        if setting.section != section_before {
            section_before = setting.section;
            page.control("SH", [&*format!("[{section_before}]")]);
        }
        page.control("TP", []);
        page.text([bold(setting.name), roman(format!(" = {}", setting.default))]);
        page.text([roman(setting.meaning)]);
    }
}
