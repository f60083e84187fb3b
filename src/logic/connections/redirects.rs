//! Where terminals are told to go whose users are not at home at this node, or not any more. Decides nothing of users.

use crate::base::ids::{ConnKey, UserId};
use crate::base::limits::{HOMELESS_WINDOW_MS_MAX, RETRY_WINDOW_MS_MAX};
use crate::logic::between_wings::DeviceLink;
use crate::logic::connections::Connections;
use crate::logic::context::{Context, Whereabouts, trace};
use crate::logic::contract::Redirects;
use crate::logic::trace::{Subject, TraceKind};
use crate::protocol::packet::LoginAnswer;
use crate::protocol::verdict::{Code, Verdict};

const NO_ADDRESS: &str =
    "another node of the cluster has this user, and has no address for what the terminal speaks";
const TOO_OLD: &str = "another node of the cluster has this user, and the terminal is too old to go there";

impl Connections {
    /// Answers a login whose user is not at home here, and closes.
    pub(super) fn turn_away(
        &mut self,
        context: &mut Context,
        key: ConnKey,
        user: &UserId,
        redirects: Redirects,
    ) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let elsewhere = |text: &str| {
            (
                Verdict::with_text(Code::Elsewhere, text.to_owned()),
                RETRY_WINDOW_MS_MAX,
            )
        };
        let (verdict, window_ms) = match (context.whereabouts(user, session.peer.stack.transport), redirects)
        {
            // A map that knows no better than that it is here was true a moment ago, or will be.
            (Whereabouts::Nobody | Whereabouts::Here, _) => (Verdict::of(Code::Busy), HOMELESS_WINDOW_MS_MAX),
            (Whereabouts::There(Some(address)), Redirects::Followed) => {
                let answer = LoginAnswer {
                    address: Some(address.as_str().into()),
                    ..LoginAnswer::refused(Verdict::of(Code::Elsewhere))
                };
                return self.refuse_login(context, key, answer);
            }
            (Whereabouts::There(None), Redirects::Followed) => elsewhere(NO_ADDRESS),
            (Whereabouts::There(_), Redirects::Unknown) => elsewhere(TOO_OLD),
        };
        let verdict = verdict.after_ms(self.return_within_ms(context, window_ms));
        self.refuse_login(context, key, LoginAnswer::refused(verdict));
    }

    /// Tells the terminal of a device that its user's home is elsewhere from now on, and closes. Its device stays what it is.
    pub(super) fn send_away(
        &mut self,
        context: &mut Context,
        link: DeviceLink,
        subject: Subject,
        user: &UserId,
    ) {
        let Some((key, session)) = self
            .key_of(link)
            .and_then(|key| Some((key, self.sessions.get(key)?)))
        else {
            return;
        };
        let address = match context.whereabouts(user, session.peer.stack.transport) {
            Whereabouts::There(address) => address.map(|address| address.as_str().into()),
            Whereabouts::Here | Whereabouts::Nobody => None,
        };
        trace(
            context,
            TraceKind::ConnectionEnded,
            self.origin_of(key),
            subject,
            Some(Code::Elsewhere),
        );
        let verdict = Verdict::of(Code::Elsewhere).after_ms(self.return_after_ms(context));
        self.go_away(context, key, verdict, address);
    }
}
