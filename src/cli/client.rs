//! One HTTP request to the gateway. Keeps no connection.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::sign;
use crate::node::config::Config;

/// Long enough for a request: the gateway itself gives up after 3 s.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// A UserSig for one request needs no long life.
const USERSIG_LIFETIME_S: u64 = 300;

/// Asks the REST interface as the first of the configuration's administrators.
pub(super) async fn ask(config: &Config, command: &str, body: &Value) -> anyhow::Result<Value> {
    let request = Request::post(rest_target(config, command)).body(Full::new(body.to_string().into()))?;
    let (_, body) = exchange(first(&config.http), request)
        .await
        .context("the REST listener (http.listen)")?;
    serde_json::from_slice(&body).context("the answer is not JSON")
}

/// The path and query of a REST command, with a fresh UserSig.
pub(super) fn rest_target(config: &Config, command: &str) -> String {
    let caller = config
        .administrators
        .first()
        .expect("a configuration has an administrator");
    let app = config.logic.sdk_app_id;
    let sig = sign(config, caller, USERSIG_LIFETIME_S);
    let caller = escape(caller.as_str());
    format!("/v4/{command}?sdkappid={app}&identifier={caller}&usersig={sig}&random=1&contenttype=json")
}

/// Asks the admin listener for all that is known of a user; `None` if there is no such account.
pub(super) async fn inspect(config: &Config, user: &str) -> anyhow::Result<Option<Value>> {
    let mut request = Request::get(format!("/v1/users/{}", escape(user)));
    if let Some(token) = &config.admin_token {
        request = request.header("Authorization", format!("Bearer {}", token.0));
    }
    let request = request.body(Full::default())?;
    let (status, body) = exchange(first(&config.admin), request)
        .await
        .context("the admin listener (admin.listen)")?;
    match status {
        200 => Ok(Some(
            serde_json::from_slice(&body).context("the answer is not JSON")?,
        )),
        404 => Ok(None),
        _ => bail!(
            "the admin listener says {status}: {}",
            String::from_utf8_lossy(&body)
        ),
    }
}

fn first(addresses: &[SocketAddr]) -> SocketAddr {
    *addresses
        .first()
        .expect("a configuration has an address for each listener")
}

/// Percent-encodes all but letters, digits, `-`, `_` and `.`.
fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}

async fn exchange(address: SocketAddr, mut request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Bytes)> {
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
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .context("no answer in time")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(escape("a-b_c.d/e f%+"), "a-b_c.d%2Fe%20f%25%2B");
    }
}
