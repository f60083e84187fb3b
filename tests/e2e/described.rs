//! The OpenAPI document of both HTTP doors: each of its examples is what its schema says, and a running gateway answers each of
//! its requests as it says. `services::http::tests::paths` holds its list of paths to the gateway's.

use std::net::SocketAddr;

use holdfast::protocol::native::proto::Platform;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use crate::gateway;
use crate::support::gateway::{Gateway, SDK_APP_ID};
use crate::support::http::Http;
use crate::support::schema::{check, resolved};
use crate::support::terminal::{Terminal, login, usersig};

const METHODS: [&str; 2] = ["get", "post"];

struct Described {
    document: Value,
    http: Http,
    /// Answers that were looked at, as `path method status`.
    seen: Vec<String>,
}

/// One request that the document describes.
struct Asked<'a> {
    path: &'a str,
    method: &'a str,
    body: Option<Value>,
    /// What is sent instead of the proof, of the document's order.
    token: Option<&'a str>,
}

impl Described {
    fn new() -> Self {
        let document = serde_json::from_str(include_str!("../../src/package/openapi.json")).unwrap();
        let (http, seen) = (Http::default(), Vec::new());
        Self { document, http, seen }
    }

    /// Sends a request, and holds the answer to the document. Gives its status and its body.
    fn ask(&mut self, address: SocketAddr, asked: &Asked<'_>) -> (u16, String) {
        let Asked { path, method, .. } = *asked;
        let target = self.target(asked);
        let request = Request::builder()
            .method(&*method.to_uppercase())
            .uri(format!("http://{address}{target}"));
        let request = request.header("Content-Type", "application/json");
        let request = match asked.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        let body = asked.body.as_ref().map_or_else(String::new, Value::to_string);
        let (head, body) = self
            .http
            .exchange(request.body(Full::from(Bytes::from(body))).unwrap());
        let status = head.status.as_u16();
        let kind = head.headers["content-type"]
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let told = format!("{method} {path} {status}: {body}");
        let response = self
            .response(path, method, status)
            .unwrap_or_else(|| panic!("not described: {told}"));
        self.hold_headers(response, &head.headers)
            .unwrap_or_else(|fault| panic!("{fault} of {told}"));
        let content = &response["content"][&kind];
        assert!(content.is_object(), "no {kind} is described for {told}");
        self.hold(&content["schema"], &kind, &body)
            .unwrap_or_else(|fault| panic!("{fault} of {told}"));
        self.seen.push(format!("{path} {method} {status}"));
        (status, body)
    }

    /// Holds the headers to their descriptions: none is missing, none says something else, and none of those that say what to
    /// do next is there without one.
    fn hold_headers(&self, response: &Value, headers: &HeaderMap) -> Result<(), String> {
        let described = response["headers"].as_object().into_iter().flatten();
        let described: Vec<_> = described
            .map(|(name, header)| (name.to_lowercase(), header))
            .collect();
        for (name, header) in &described {
            let header = resolved(&self.document, header);
            match headers.get(name) {
                Some(value) => check(&self.document, &header["schema"], &value.to_str().unwrap().into())?,
                None if header["required"] == true => return Err(format!("no {name}")),
                None => {}
            }
        }
        let telling = ["www-authenticate", "retry-after", "accept-encoding"];
        let mut told = headers.keys().map(HeaderName::as_str);
        let unknown = told.find(|name| {
            (telling.contains(name) || name.starts_with("holdfast-"))
                && !described.iter().any(|(known, _)| known == name)
        });
        unknown.map_or(Ok(()), |name| Err(format!("{name} is not described")))
    }

    /// Holds a body to its schema.
    fn hold(&self, schema: &Value, kind: &str, body: &str) -> Result<(), String> {
        let read = |text: &str| serde_json::from_str(text).map_err(|fault| fault.to_string());
        match kind {
            "application/json" => check(&self.document, schema, &read(body)?),
            "application/x-ndjson" => body
                .lines()
                .try_for_each(|line| check(&self.document, schema, &read(line)?)),
            _ => check(&self.document, schema, &body.into()),
        }
    }

    /// What is said of an answer with this status.
    fn response(&self, path: &str, method: &str, status: u16) -> Option<&Value> {
        let responses = &self.document["paths"][path][method]["responses"];
        let found = [
            status.to_string(),
            format!("{}XX", status / 100),
            "default".to_owned(),
        ];
        let found = found.iter().find_map(|name| responses.get(name));
        found.map(|response| resolved(&self.document, response))
    }

    /// The path with what the document says of its parameters.
    fn target(&self, asked: &Asked<'_>) -> String {
        let operation = &self.document["paths"][asked.path][asked.method];
        let mut target = asked.path.replace("{user}", "alice");
        let mut query = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = resolved(&self.document, parameter);
            let value = match parameter["name"].as_str().unwrap() {
                "sdkappid" => SDK_APP_ID.to_string(),
                "identifier" => "administrator".to_owned(),
                "wait_s" => "0".to_owned(),
                "limit" => "1000".to_owned(),
                _ => continue,
            };
            query.push(format!("{}={value}", parameter["name"].as_str().unwrap()));
        }
        if operation["security"][0].get("usersig").is_some() {
            query.push(format!("usersig={}", usersig("administrator")));
        }
        if !query.is_empty() {
            target += &format!("?{}", query.join("&"));
        }
        target
    }

    /// Everything that can be asked, with each example of its body.
    fn requests(&self) -> Vec<(String, &'static str, Option<Value>)> {
        let mut all = Vec::new();
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for method in METHODS.into_iter().filter(|method| item.get(method).is_some()) {
                let examples = &item[method]["requestBody"]["content"]["application/json"]["examples"];
                match examples.as_object() {
                    Some(examples) => {
                        let bodies = examples.values().map(|example| Some(example["value"].clone()));
                        all.extend(bodies.map(|body| (path.clone(), method, body)));
                    }
                    None => all.push((path.clone(), method, None)),
                }
            }
        }
        all
    }

    fn door(path: &str, gateway: &Gateway) -> SocketAddr {
        if path.starts_with("/v4/") || path == "/v1/send" || path == "/v1/outcomes" {
            gateway.http
        } else {
            gateway.admin
        }
    }
}

/// A gateway with something to tell of everything.
fn busy() -> (Gateway, Vec<Terminal>) {
    let settings = [
        ("presence.policy", "\"dual\""),
        ("callback.url", "\"http://127.0.0.1:1/callback\""),
    ];
    let gateway = gateway(&settings);
    let (mut tablet, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Ipad, 9));
    let (phone, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 7));
    tablet.expect_force_offline();
    let (web, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Web, 8));
    let (away, _) = Terminal::logged_in(gateway.terminals, login("bob", Platform::Android, 3));
    drop(away);
    Http::default().await_status(gateway.http, "bob", "PushOnline");
    (gateway, vec![tablet, phone, web])
}

#[test]
fn a_running_gateway_answers_as_the_openapi_document_says() {
    let mut described = Described::new();
    let (gateway, _terminals) = busy();
    let mut all = described.requests();
    // What shows comes before what ends.
    all.sort_by_key(|(path, method, _)| (*method, path.contains("delete")));
    let nothing = "there is no such page";
    for (path, method, body) in &all {
        let asked = Asked {
            path,
            method,
            body: body.clone(),
            token: None,
        };
        let (status, text) = described.ask(Described::door(path, &gateway), &asked);
        assert!(
            status != 405 && !text.contains(nothing) && !text.contains("60009"),
            "{path} {status} {text}"
        );
        // Of what changes something by the admin listener, some finds nothing to change: see below for the rest.
        let is_of_a_cluster = path.starts_with("/v1/cluster");
        if is_of_a_cluster {
            assert_eq!(status, 501, "{path}: {text}");
        } else if path.starts_with("/v4/") || *method == "get" {
            assert_eq!(status, 200, "{path}: {text}");
        }
    }
    let detail =
        json!({"To_Account": ["alice", "bob", "nobody at all"], "IsNeedDetail": 1, "IsReturnInstid": "1"});
    let path = "/v4/openim/query_online_status";
    let (_, text) = described.ask(
        gateway.http,
        &Asked {
            path,
            method: "post",
            body: Some(detail),
            token: None,
        },
    );
    assert!(text.contains("\"ErrorCode\":0"), "{text}");
    for good in [
        "/v1/kick post 200",
        "/v1/reload post 200",
        "/v1/callbacks/replay post 200",
        "/v1/callbacks/drop post 200",
        "/v1/users get 200",
        "/v1/users/{user} get 200",
        "/v1/changes get 200",
        "/v1/send post 200",
    ] {
        assert!(
            described.seen.iter().any(|seen| seen == good),
            "{good} was not seen: {:?}",
            described.seen
        );
    }
}

#[test]
fn a_running_gateway_refuses_as_the_openapi_document_says() {
    let mut described = Described::new();
    let gateway = gateway(&[
        ("admin.token", "\"a-token-for-a-test\""),
        ("registry.store", "\"memory\""),
    ]);
    for (path, method, _) in described.requests() {
        let door = Described::door(&path, &gateway);
        for (token, body) in [
            (None, None),
            (Some("a-token-for-a-test"), None),
            (Some("a-token-for-a-test"), Some(json!([]))),
        ] {
            let (status, text) = described.ask(
                door,
                &Asked {
                    path: &path,
                    method,
                    body: body.clone(),
                    token,
                },
            );
            let open = ["/", "/healthz", "/readyz"].contains(&&*path);
            let refused = token.is_none() && door == gateway.admin && !open;
            assert_eq!(status == 401, refused, "{method} {path} {text}");
            let verdict = serde_json::from_str::<Value>(&text).unwrap_or_default();
            assert!(
                door == gateway.admin || verdict["ErrorCode"] != 0,
                "{path} {text}"
            );
        }
    }
}

#[test]
fn each_example_is_what_its_schema_says() {
    let described = Described::new();
    let mut count = 0;
    let mut rest = vec![&described.document];
    while let Some(part) = rest.pop() {
        for (name, schema) in part
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, part)| *name == "schema" && part.is_object())
        {
            let one = part.get("example").into_iter();
            let examples = part["examples"].as_object().into_iter().flatten();
            for example in one.chain(examples.map(|(_, example)| &example["value"])) {
                let held = check(&described.document, schema, example);
                held.unwrap_or_else(|fault| panic!("{name}: {fault}"));
                count += 1;
            }
        }
        match part {
            Value::Object(members) => rest.extend(members.values()),
            Value::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn the_openapi_document_is_of_this_version() {
    let described = Described::new();
    assert_eq!(described.document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(described.document["openapi"], "3.1.0");
}
