//! A plain HTTP client that waits for its answers: the backend's queries, and the operator's pages. It keeps its
//! connections, and takes nothing but good answers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// The stream's longest wait is 55 s; anything else is answered within a few.
const PATIENCE: Duration = Duration::from_secs(70);

/// The gateway's own words for an answer that it had not got in time; it asks to be asked again.
const ANSWERED_TOO_LATE: u64 = 60_008;

/// How often a query is asked in all, where only the answer counts and not when it comes. Each try may take 3 s: a host that is
/// short of CPU for longer has other things to do.
const TRIES_MAX: usize = 10;

/// One client.
pub(crate) struct Http {
    runtime: tokio::runtime::Runtime,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// One change of the stream, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusChange {
    pub(crate) user: String,
    pub(crate) number: u64,
    pub(crate) kind: String,
}

/// What a query asks for of each user beside the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedDetail {
    None,
    /// The status on each platform.
    Platforms,
}

/// What a query shows of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: String,
    /// Platforms and the status there; `None` if nothing was said of them.
    pub(crate) platforms: Option<Vec<(String, String)>>,
}

impl Http {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the system gives no descriptors for an HTTP client")?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { runtime, client })
    }

    /// An answer's header `Holdfast-Next`, and its body.
    fn ask(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(Option<String>, Bytes)> {
        let place = request
            .uri()
            .authority()
            .map_or("", |place| place.as_str())
            .to_owned();
        let page = request.uri().path().to_owned();
        let answer = self.runtime.block_on(async {
            let exchange = async {
                let answer = self.client.request(request).await?;
                let status = answer.status();
                let next = answer.headers().get("holdfast-next");
                let next = next.and_then(|next| Some(next.to_str().ok()?.to_owned()));
                let body = answer.into_body().collect().await?.to_bytes();
                if !status.is_success() {
                    bail!("{status}: {}", String::from_utf8_lossy(&body));
                }
                Ok((next, body))
            };
            tokio::time::timeout(PATIENCE, exchange)
                .await
                .context("no answer in time")?
        });
        answer.with_context(|| format!("asking the gateway at {place} for {page}; does it run there?"))
    }

    fn get(&self, address: SocketAddr, path: &str) -> anyhow::Result<(Option<String>, Bytes)> {
        self.ask(Request::get(format!("http://{address}{path}")).body(Full::default())?)
    }

    /// All metrics of the gateway whose values are whole numbers, by name and labels.
    pub(crate) fn metrics(&self, admin: SocketAddr) -> anyhow::Result<HashMap<String, u64>> {
        let (_, text) = self.get(admin, "/metrics")?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(lines.filter_map(pair).collect())
    }

    /// For each partition of a cluster, whether its users are at home at this node.
    pub(crate) fn owned(&self, admin: SocketAddr) -> anyhow::Result<Vec<bool>> {
        let (_, body) = self.get(admin, "/v1/cluster")?;
        let view: Value = serde_json::from_slice(&body).context("the cluster is not JSON")?;
        let partitions = view["partitions"].as_array();
        let partitions = partitions.context("a cluster without partitions")?;
        // A node tells the epoch of its own alone.
        Ok(partitions.iter().map(|home| home["epoch"].is_u64()).collect())
    }

    /// Has a node hand its partitions over, and end.
    pub(crate) fn drain(&self, admin: SocketAddr) -> anyhow::Result<()> {
        let url = format!("http://{admin}/v1/cluster/drain");
        let json = Request::post(url).header("content-type", "application/json");
        self.ask(json.body(Full::from("{}"))?)?;
        Ok(())
    }

    /// The changes behind a cursor (all that are kept, without one), and the cursor behind them. Waits for none.
    pub(crate) fn changes(
        &self,
        admin: SocketAddr,
        after: Option<&str>,
    ) -> anyhow::Result<(Vec<StatusChange>, Option<String>)> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let (next, body) = self.get(admin, &format!("/v1/changes?limit=1000&wait_s=0{after}"))?;
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let changes = lines.map(|line| {
            let line: Value = serde_json::from_slice(line).context("a change is not JSON")?;
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            Ok(StatusChange {
                user: text("user"),
                number: line["change"].as_u64().context("a change without a number")?,
                kind: text("kind"),
            })
        });
        Ok((changes.collect::<anyhow::Result<Vec<StatusChange>>>()?, next))
    }

    /// The statuses of up to 500 users. Users without an account are not among them. Asks again as long as the gateway wants it.
    pub(crate) fn query(
        &self,
        backend: (SocketAddr, &str),
        users: &[String],
    ) -> anyhow::Result<HashMap<String, String>> {
        let ask = || self.ask_statuses(backend, users, AskedDetail::None);
        let mut answer = ask()?;
        for _ in 1..TRIES_MAX {
            if answer["ErrorCode"] != ANSWERED_TOO_LATE {
                break;
            }
            answer = ask()?;
        }
        let statuses = results(&answer)?
            .into_iter()
            .map(|(user, answered)| (user, answered.status));
        Ok(statuses.collect())
    }

    /// The same with details, and asked once.
    pub(crate) fn query_with(
        &self,
        backend: (SocketAddr, &str),
        users: &[String],
        detail: AskedDetail,
    ) -> anyhow::Result<HashMap<String, Answered>> {
        results(&self.ask_statuses(backend, users, detail)?)
    }

    fn ask_statuses(
        &self,
        (http, caller): (SocketAddr, &str),
        users: &[String],
        detail: AskedDetail,
    ) -> anyhow::Result<Value> {
        let wanted = match detail {
            AskedDetail::None => 0,
            AskedDetail::Platforms => 1,
        };
        let body = json!({ "To_Account": users, "IsNeedDetail": wanted }).to_string();
        let url = format!("http://{http}/v4/openim/query_online_status?{caller}&random=1&contenttype=json");
        let (_, answer) = self.ask(Request::post(url).body(Full::from(body))?)?;
        serde_json::from_slice(&answer).context("the query's answer is not JSON")
    }

    /// Sends a message, or several of them, one a line. Gives how many devices there were with each outcome.
    pub(crate) fn send(
        &self,
        (http, caller): (SocketAddr, &str),
        lines: &[String],
    ) -> anyhow::Result<HashMap<String, u64>> {
        let request = Request::post(format!("http://{http}/v1/send?{caller}"));
        let content_type = match lines.len() {
            1 => "application/json",
            _ => "application/x-ndjson",
        };
        let request = request.header("content-type", content_type);
        let (_, answer) = self.ask(request.body(Full::from(lines.join("\n")))?)?;
        let mut outcomes = HashMap::new();
        for line in answer
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            count_outcomes(line, &mut outcomes)?;
        }
        Ok(outcomes)
    }
}

/// Adds the devices of a message by their outcomes.
fn count_outcomes(answer: &[u8], outcomes: &mut HashMap<String, u64>) -> anyhow::Result<()> {
    let answer: Value = serde_json::from_slice(answer).context("what became of a message is not JSON")?;
    let results = answer["results"].as_array();
    for result in results.with_context(|| format!("there are no results: {answer}"))? {
        let devices = result["devices"].as_array().filter(|devices| !devices.is_empty());
        let of_devices = devices.into_iter().flatten().map(|device| &device["outcome"]);
        let of_user = devices.is_none().then_some(&result["outcome"]);
        for outcome in of_devices.chain(of_user) {
            let outcome = outcome.as_str().context("an outcome is no text")?;
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
    }
    Ok(())
}

/// Who is shown how by the answer to a query.
fn results(answer: &Value) -> anyhow::Result<HashMap<String, Answered>> {
    let Some(results) = answer["QueryResult"].as_array() else {
        bail!("the gateway refuses a query: {answer}");
    };
    Ok(results.iter().filter_map(answered).collect())
}

/// One user's element of `QueryResult`; `None` if it is not of its form.
fn answered(result: &Value) -> Option<(String, Answered)> {
    let text = |value: &Value| Some(value.as_str()?.to_owned());
    let platform = |entry: &Value| Some((text(&entry["Platform"])?, text(&entry["Status"])?));
    let platforms = match result.get("Detail") {
        None => None,
        Some(detail) => Some(
            detail
                .as_array()?
                .iter()
                .map(platform)
                .collect::<Option<Vec<_>>>()?,
        ),
    };
    let status = text(&result["Status"])?;
    Some((text(&result["To_Account"])?, Answered { status, platforms }))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A gateway that gives these answers, one after the other, on one connection.
    fn answering(answers: Vec<Value>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            for answer in answers {
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    if line == "\r\n" {
                        break;
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let body = answer.to_string();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
        });
        address
    }

    #[test]
    fn a_query_that_was_answered_too_late_is_asked_again_and_no_other() {
        let late = json!({ "ActionStatus": "FAIL", "ErrorCode": ANSWERED_TOO_LATE });
        let refused = json!({ "ActionStatus": "FAIL", "ErrorCode": 60_006 });
        let good = json!({ "QueryResult": [{ "To_Account": "a", "Status": "Online" }] });
        let ask = |answers: &[&Value]| {
            let address = answering(answers.iter().map(|answer| (*answer).clone()).collect());
            Http::new().unwrap().query((address, "caller"), &["a".to_owned()])
        };
        assert_eq!(ask(&[&late, &late, &good]).unwrap()["a"], "Online");
        assert!(ask(&[&refused]).is_err());
        assert!(ask(&[&late; TRIES_MAX]).is_err());
    }

    fn check(result: &Value, expected: Option<Option<Vec<(&str, &str)>>>) {
        let seen = answered(result);
        let expected = expected.map(|platforms| {
            let owned = |(platform, status): (&str, &str)| (platform.to_owned(), status.to_owned());
            let platforms = platforms.map(|all| all.into_iter().map(owned).collect());
            let status = "Online".to_owned();
            ("a".to_owned(), Answered { status, platforms })
        });
        assert_eq!(seen, expected, "{result}");
    }

    #[test]
    fn details_are_read_whole_or_the_user_counts_as_not_answered() {
        let with = |detail: Value| json!({ "To_Account": "a", "Status": "Online", "Detail": detail });
        check(&json!({ "To_Account": "a", "Status": "Online" }), Some(None));
        check(&with(json!([])), Some(Some(vec![])));
        let web = json!({ "Platform": "Web", "Status": "Online" });
        let mac = json!({ "Platform": "Mac", "Status": "PushOnline" });
        check(
            &with(json!([web, mac])),
            Some(Some(vec![("Web", "Online"), ("Mac", "PushOnline")])),
        );
        check(&with(json!([web, { "Platform": "Mac" }])), None);
        check(&with(json!("Web")), None);
        check(&json!({ "To_Account": "a" }), None);
        check(&json!({ "Status": "Online" }), None);
    }
}
