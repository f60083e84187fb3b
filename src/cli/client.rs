//! One HTTP request to the gateway. Keeps no connection.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::http::request::Builder;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::sign;
use crate::node::config::Config;
use crate::services::http::url;

/// Long enough for a request: the gateway itself gives up after 3 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A UserSig for one request needs no long life.
const USERSIG_LIFETIME_S: u64 = 300;

/// Asks the REST interface as the first of the configuration's administrators.
pub(super) async fn ask(config: &Config, command: &str, body: &Value) -> anyhow::Result<Value> {
    let request = Request::post(rest_target(config, command)).body(Full::new(body.to_string().into()))?;
    let (_, body) = exchange(first(&config.http), request, PATIENCE)
        .await
        .context("the REST listener (http.listen)")?;
    json(&body)
}

/// The path and query of a REST command, with a fresh UserSig.
pub(super) fn rest_target(config: &Config, command: &str) -> String {
    let caller = config
        .administrators
        .first()
        .expect("a configuration has an administrator");
    let app = config.logic.sdk_app_id;
    let sig = sign(config, caller, USERSIG_LIFETIME_S);
    let caller = url::encode(caller.as_str());
    format!("/v4/{command}?sdkappid={app}&identifier={caller}&usersig={sig}&random=1&contenttype=json")
}

/// Asks the admin listener for all that is known of a user; `None` if there is no such account.
pub(super) async fn inspect(config: &Config, user: &str) -> anyhow::Result<Option<Value>> {
    let request = Request::get(format!("/v1/users/{}", url::encode(user)));
    let request = authorized(config, request).body(Full::default())?;
    let (status, body) = ask_admin(config, request, PATIENCE).await?;
    match status {
        200 => Ok(Some(json(&body)?)),
        404 => Ok(None),
        _ => bail!(
            "the admin listener says {status}: {}",
            String::from_utf8_lossy(&body)
        ),
    }
}

/// Asks the admin listener for a page of JSON, one object a line.
pub(super) async fn lines(config: &Config, path: &str) -> anyhow::Result<Vec<Value>> {
    let request = authorized(config, Request::get(path)).body(Full::default())?;
    let (status, body) = ask_admin(config, request, PATIENCE).await?;
    if status != 200 {
        bail!(
            "the admin listener says {status}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(json).collect()
}

/// Asks the admin listener for its metrics.
pub(super) async fn metrics(config: &Config) -> anyhow::Result<String> {
    let request = authorized(config, Request::get("/metrics")).body(Full::default())?;
    let (status, body) = ask_admin(config, request, PATIENCE).await?;
    let text = String::from_utf8_lossy(&body);
    if status != 200 {
        bail!("the admin listener says {status}: {text}");
    }
    Ok(text.into_owned())
}

/// Posts a command to the admin listener. Gives the HTTP status and the answer's JSON.
pub(super) async fn command(
    config: &Config,
    path: &str,
    body: &Value,
    patience: Duration,
) -> anyhow::Result<(u16, Value)> {
    let request = authorized(config, Request::post(path)).header("Content-Type", "application/json");
    let request = request.body(Full::new(body.to_string().into()))?;
    let (status, body) = ask_admin(config, request, patience).await?;
    Ok((status, json(&body)?))
}

fn authorized(config: &Config, request: Builder) -> Builder {
    match &config.admin_token {
        Some(token) => request.header("Authorization", format!("Bearer {}", token.0)),
        None => request,
    }
}

async fn ask_admin(
    config: &Config,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> anyhow::Result<(u16, Bytes)> {
    let answer = exchange(first(&config.admin), request, patience).await;
    answer.context("the admin listener (admin.listen)")
}

fn json(body: &[u8]) -> anyhow::Result<Value> {
    serde_json::from_slice(body).context("the answer is not JSON")
}

fn first(addresses: &[SocketAddr]) -> SocketAddr {
    *addresses
        .first()
        .expect("a configuration has an address for each listener")
}

async fn exchange(
    address: SocketAddr,
    mut request: Request<Full<Bytes>>,
    patience: Duration,
) -> anyhow::Result<(u16, Bytes)> {
    let host = Uri::builder()
        .scheme("http")
        .authority(address.to_string())
        .path_and_query("/")
        .build()?;
    let host = host
        .authority()
        .context("an address is an authority")?
        .as_str()
        .parse()?;
    request.headers_mut().insert(hyper::header::HOST, host);
    let exchange = async {
        let stream = TcpStream::connect(address).await;
        let stream = stream.with_context(|| format!("{address}; is the gateway running?"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // The connection may end just before the answer was taken from it.
            _ = connection => answer.await,
        }
    };
    tokio::time::timeout(patience, exchange)
        .await
        .context("no answer in time")?
}
