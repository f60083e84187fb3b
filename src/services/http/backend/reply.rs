//! Writes the JSON of the REST interface, byte by byte into one buffer: a reply for 500 users is 30 KB, and a generic
//! writer would cost more than everything else that a query does.

use std::io::Write;

use crate::base::ids::UserId;
use crate::logic::record::Status;
use crate::logic::user_status::{BriefStatus, DeviceStatus, UserStatus};
use crate::services::http::backend::codes::{ACCOUNT_UNAVAILABLE, ACCOUNT_UNKNOWN, Failure};
use crate::services::http::backend::query::QueryDetail;

/// Room for one user without details: the fixed words, a long UserID and two long statuses.
const USER_BYTES: usize = 104;

/// The frame of a command that has nothing to say but that it worked.
pub(super) const DONE: &[u8] = br#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;

/// The frame of a failure.
pub(super) fn failure(failure: &Failure) -> Vec<u8> {
    let mut out = br#"{"ActionStatus":"FAIL","ErrorInfo":"#.to_vec();
    quote(&failure.text, &mut out);
    put_number(br#","ErrorCode":"#, u64::from(failure.code), &mut out);
    out.push(b'}');
    out
}

/// The reply to a query, written user by user.
pub(super) struct Statuses {
    detail: QueryDetail,
    results: Vec<u8>,
    errors: Vec<u8>,
    unavailable: bool,
}

/// Goes before the results, when there is one.
const OPENING: &[u8] = br#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"QueryResult":["#;

impl Statuses {
    pub(super) fn new(users: usize, detail: QueryDetail) -> Self {
        let mut results = Vec::with_capacity(OPENING.len() + users * USER_BYTES);
        results.extend_from_slice(OPENING);
        Self {
            detail,
            results,
            errors: Vec::new(),
            unavailable: false,
        }
    }

    /// Adds the next user, with its devices.
    pub(super) fn put(&mut self, user: &UserId, status: &UserStatus) {
        match status {
            UserStatus::Known { devices, .. } => self.put_known(user, devices.as_slice(), devices.status()),
            UserStatus::UnknownAccount | UserStatus::Unavailable | UserStatus::Unresolved => {
                self.put_brief(user, status.brief());
            }
        }
    }

    /// Adds the next user, without devices.
    pub(super) fn put_brief(&mut self, user: &UserId, brief: BriefStatus) {
        match brief {
            BriefStatus::Known(status) => self.put_known(user, &[], status),
            BriefStatus::UnknownAccount => self.put_error(user.as_str(), ACCOUNT_UNKNOWN),
            // Shards pass unresolved users on to the registry; one that comes back so was not resolved.
            BriefStatus::Unavailable | BriefStatus::Unresolved => {
                self.unavailable = true;
                self.put_error(user.as_str(), ACCOUNT_UNAVAILABLE);
            }
        }
    }

    /// Adds a text that can be nobody's UserID: no such account.
    pub(super) fn put_nobody(&mut self, text: &str) {
        self.put_error(text, ACCOUNT_UNKNOWN);
    }

    fn put_known(&mut self, user: &UserId, devices: &[DeviceStatus], status: Status) {
        let out = &mut self.results;
        if out.len() > OPENING.len() {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"To_Account":"#);
        quote_user(user, out);
        out.extend_from_slice(both_keys(status));
        if !devices.is_empty() {
            match self.detail {
                QueryDetail::None => {}
                QueryDetail::Platforms => put_platforms(devices, out),
                QueryDetail::Devices => put_devices(devices, out),
            }
        }
        out.push(b'}');
    }

    fn put_error(&mut self, user: &str, code: u32) {
        let out = &mut self.errors;
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"To_Account":"#);
        quote(user, out);
        put_number(br#","ErrorCode":"#, u64::from(code), out);
        out.push(b'}');
    }

    /// The whole reply. If no user could be answered it is a failure.
    pub(super) fn finish(self) -> Vec<u8> {
        let verdict = self.verdict();
        let mut out = self.results;
        if out.len() == OPENING.len() {
            out = failure(&verdict);
            out.pop();
            out.extend_from_slice(br#","QueryResult":["#);
        }
        out.extend_from_slice(br#"],"ErrorList":["#);
        out.extend_from_slice(&self.errors);
        out.extend_from_slice(b"]}");
        out
    }

    fn verdict(&self) -> Failure {
        if self.unavailable {
            Failure::new(
                ACCOUNT_UNAVAILABLE,
                "the accounts could not be looked up now: try again",
            )
        } else {
            Failure::new(ACCOUNT_UNKNOWN, "none of the accounts exists")
        }
    }
}

/// One entry a platform name, in the order in which they first appear, with the highest status there.
fn put_platforms(devices: &[DeviceStatus], out: &mut Vec<u8>) {
    let name_of = |known: &DeviceStatus| known.device.platform.detail_name();
    let firsts = devices.iter().enumerate().filter(|(place, known)| {
        devices[..*place]
            .iter()
            .all(|earlier| name_of(earlier) != name_of(known))
    });
    let entries = firsts.map(|(_, first)| {
        let same = devices.iter().filter(|known| name_of(known) == name_of(first));
        (
            name_of(first),
            same.map(|known| known.status).max().unwrap_or(first.status),
        )
    });
    let mut separator: &[u8] = br#","Detail":["#;
    for (name, status) in entries {
        out.extend_from_slice(separator);
        put_name(br#"{"Platform":""#, name, out);
        put_name(br#"","Status":""#, status.name(), out);
        out.extend_from_slice(br#""}"#);
        separator = b",";
    }
    out.push(b']');
}

/// The status under its present and its older key.
fn both_keys(status: Status) -> &'static [u8] {
    match status {
        Status::Online => br#","Status":"Online","State":"Online""#,
        Status::PushOnline => br#","Status":"PushOnline","State":"PushOnline""#,
        Status::Offline => br#","Status":"Offline","State":"Offline""#,
    }
}

fn put_devices(devices: &[DeviceStatus], out: &mut Vec<u8>) {
    let mut separator: &[u8] = br#","Detail":["#;
    for known in devices {
        out.extend_from_slice(separator);
        put_name(br#"{"Platform":""#, known.device.platform.detail_name(), out);
        put_name(br#"","Status":""#, known.status.name(), out);
        put_number(br#"","Instid":"#, known.device.instance.get(), out);
        out.push(b'}');
        separator = b",";
    }
    out.push(b']');
}

fn put_name(before: &[u8], name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    out.extend_from_slice(name.as_bytes());
}

fn put_number(before: &[u8], number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    write!(out, "{number}").expect("a vector takes every byte");
}

/// Writes a UserID as a JSON string. It is printable ASCII already.
fn quote_user(user: &UserId, out: &mut Vec<u8>) {
    if user.contains(b'"') || user.contains(b'\\') {
        return quote(user.as_str(), out);
    }
    out.push(b'"');
    out.extend_from_slice(user.as_bytes());
    out.push(b'"');
}

/// Writes a JSON string.
fn quote(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: &u8| (0x20..0x7f).contains(byte) && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a vector takes every string");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform};
    use crate::logic::user_status::DeviceStatuses;

    fn device(platform: Platform, instance: u64, status: Status) -> DeviceStatus {
        let instance = InstanceId::new(instance).unwrap();
        DeviceStatus {
            device: DeviceId { platform, instance },
            status,
        }
    }

    fn known(devices: &[DeviceStatus]) -> UserStatus {
        let devices: DeviceStatuses = devices.iter().copied().collect();
        UserStatus::Known {
            change: ChangeNumber(3),
            devices,
        }
    }

    fn check(detail: QueryDetail, users: &[(&str, UserStatus)], expected: &Value) {
        let mut statuses = Statuses::new(users.len(), detail);
        for (user, status) in users {
            statuses.put(&UserId::new(user.as_bytes()).unwrap(), status);
        }
        let reply: Value = serde_json::from_slice(&statuses.finish()).unwrap();
        assert_eq!(&reply, expected);
    }

    #[test]
    fn writes_every_standing() {
        let phone = device(Platform::IPhone, 7, Status::PushOnline);
        let users = [
            ("a\"\\b", known(&[phone])),
            ("ghost", UserStatus::UnknownAccount),
            ("late", UserStatus::Unavailable),
            ("off", known(&[])),
        ];
        let results = json!([
            {"To_Account": "a\"\\b", "Status": "PushOnline", "State": "PushOnline"},
            {"To_Account": "off", "Status": "Offline", "State": "Offline"},
        ]);
        let errors =
            json!([{"To_Account": "ghost", "ErrorCode": 70107}, {"To_Account": "late", "ErrorCode": 91000}]);
        check(
            QueryDetail::None,
            &users,
            &json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0,
            "QueryResult": results, "ErrorList": errors}),
        );
    }

    #[test]
    fn details_are_by_platform_or_by_device() {
        let devices = [
            device(Platform::Windows, 1, Status::Online),
            device(Platform::IPhone, u64::MAX, Status::PushOnline),
            device(Platform::Linux, 3, Status::Online),
        ];
        let reply = |detail: Value| {
            json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "ErrorList": [],
            "QueryResult": [{"To_Account": "a", "Status": "Online", "State": "Online", "Detail": detail},
                            {"To_Account": "off", "Status": "Offline", "State": "Offline"}]})
        };
        let users = [("a", known(&devices)), ("off", known(&[]))];
        check(
            QueryDetail::Platforms,
            &users,
            &reply(json!([{"Platform": "PC", "Status": "Online"},
            {"Platform": "iPhone", "Status": "PushOnline"}])),
        );
        check(
            QueryDetail::Devices,
            &users,
            &reply(json!([{"Platform": "PC", "Status": "Online", "Instid": 1},
            {"Platform": "iPhone", "Status": "PushOnline", "Instid": u64::MAX},
            {"Platform": "PC", "Status": "Online", "Instid": 3}])),
        );
    }

    #[test]
    fn a_platform_shows_its_highest_status() {
        let devices = [
            device(Platform::Android, 1, Status::PushOnline),
            device(Platform::Android, 2, Status::Online),
        ];
        let detail = json!([{"Platform": "Android", "Status": "Online"}]);
        check(
            QueryDetail::Platforms,
            &[("a", known(&devices))],
            &json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0,
            "ErrorList": [], "QueryResult": [{"To_Account": "a", "Status": "Online", "State": "Online", "Detail": detail}]}),
        );
    }

    #[test]
    fn no_answer_at_all_is_a_failure() {
        check(
            QueryDetail::None,
            &[("ghost", UserStatus::UnknownAccount)],
            &json!({"ActionStatus": "FAIL",
            "ErrorInfo": "none of the accounts exists", "ErrorCode": 70107, "QueryResult": [],
            "ErrorList": [{"To_Account": "ghost", "ErrorCode": 70107}]}),
        );
        let mut statuses = Statuses::new(1, QueryDetail::None);
        statuses.put(&UserId::new(b"a").unwrap(), &UserStatus::Unavailable);
        let reply: Value = serde_json::from_slice(&statuses.finish()).unwrap();
        assert_eq!(reply["ErrorCode"], 91000);
    }
}
