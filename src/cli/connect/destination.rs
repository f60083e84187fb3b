//! Where a terminal connects: at the address that it was given first, or at the node of a cluster that has its user. Opens no
//! socket.

use std::fmt::{self, Display, Formatter};

use super::link::NoLink;
use super::route::GatewayRoute;
use crate::cli::host_port::Listener;
use crate::cli::outcome::CommandFault;

/// How often a terminal is sent on without a login in between. Nodes that do not agree may send it in circles.
const REDIRECTS_MAX: u32 = 3;

/// The first address, and what was learnt since.
pub(super) struct Destination {
    first: GatewayRoute,
    /// Of the user's node, if it is known.
    home: Option<GatewayRoute>,
    redirects: u32,
    login: LoginOfLink,
}

/// Whether a login was made on the last link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LoginOfLink {
    Made,
    Missing,
}

/// When a terminal that was sent on goes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    AtOnce,
    /// After a wait, as for anything else that it is to try again.
    Later,
}

/// Why there is no link, or no more.
pub(super) enum BrokenLink {
    NotThere(NoLink),
    Lost(String),
}

impl Display for BrokenLink {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere(NoLink::Unreached(error)) => error.fmt(f),
            Self::NotThere(NoLink::NoWay(why)) | Self::Lost(why) => why.fmt(f),
        }
    }
}

impl Destination {
    pub(super) fn new(first: GatewayRoute) -> Self {
        Self {
            first,
            home: None,
            redirects: 0,
            login: LoginOfLink::Missing,
        }
    }

    /// Where to go.
    pub(super) fn route(&self) -> &GatewayRoute {
        self.home.as_ref().unwrap_or(&self.first)
    }

    /// A link begins.
    pub(super) fn begins(&mut self) {
        self.login = LoginOfLink::Missing;
    }

    /// A login was made.
    pub(super) fn logged_in(&mut self) {
        (self.login, self.redirects) = (LoginOfLink::Made, 0);
    }

    /// A login's answer says that the user is there. An address that is none leads back to the first one.
    pub(super) fn sent_on(&mut self, address: &str) -> Onward {
        self.home = self.first.leading_to(address);
        if self.home.is_some() && self.redirects < REDIRECTS_MAX {
            self.redirects += 1;
            return Onward::AtOnce;
        }
        (self.home, self.redirects) = (None, 0);
        Onward::Later
    }

    /// A goodbye says that the user will be there.
    pub(super) fn sent_away(&mut self, address: &str) {
        (self.home, self.redirects) = (self.first.leading_to(address), 0);
    }

    /// What is told of a link to an address at which no gateway was ever met.
    pub(super) fn fault_of(&self, why: &BrokenLink) -> CommandFault {
        let route = self.route();
        match why {
            BrokenLink::NotThere(NoLink::Unreached(error)) => {
                route.place.unreached(Listener::Terminals, error)
            }
            BrokenLink::NotThere(NoLink::NoWay(why)) => CommandFault::Unreached(format!("{route}: {why}")),
            BrokenLink::Lost(why) => route.place.mistaken(Listener::Terminals, why),
        }
    }

    /// The last link broke, or was never there. Says whether there is another address to try: the node that was to have the user
    /// made no login.
    pub(super) fn lost(&mut self) -> bool {
        let was_no_use = self.login == LoginOfLink::Missing && self.home.is_some();
        if was_no_use {
            (self.home, self.redirects) = (None, 0);
        }
        was_no_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connect::route::RouteArguments;
    use crate::node::config::{Config, Sources};

    fn destination(typed: RouteArguments) -> Destination {
        let config = Config::read(&Sources::default()).unwrap();
        Destination::new(GatewayRoute::of(&typed, &config).unwrap())
    }

    fn at(address: &str) -> RouteArguments {
        RouteArguments {
            address: Some(address.parse().unwrap()),
            ..RouteArguments::default()
        }
    }

    fn by_url(url: &str) -> RouteArguments {
        RouteArguments {
            url: Some(url.parse().unwrap()),
            ..RouteArguments::default()
        }
    }

    #[test]
    fn a_node_is_reached_as_the_first_address_was() {
        let by_tls = RouteArguments {
            tls: true,
            ..at("one.example:9001")
        };
        for (typed, address, expected) in [
            (at("one.example:9001"), "two.example:9002", "two.example:9002"),
            (at("one.example:9001"), "[::1]:9002", "[::1]:9002"),
            (by_tls, "two.example:9002", "two.example:9002, by TLS"),
            (
                by_url("ws://one.example/"),
                "ws://two.example/gate",
                "ws://two.example:80/gate",
            ),
            (
                by_url("wss://one.example/"),
                "wss://two.example:9443/",
                "wss://two.example:9443/",
            ),
        ] {
            let mut destination = destination(typed);
            assert_eq!(destination.sent_on(address), Onward::AtOnce, "{address}");
            assert_eq!(destination.route().to_string(), expected);
        }
    }

    #[test]
    fn over_tls_the_certificate_has_to_be_that_of_the_node() {
        let mut destination = destination(by_url("wss://one.example/"));
        destination.sent_on("wss://two.example/");
        let name = destination
            .route()
            .tls
            .as_ref()
            .map(|tls| tls.name.to_str().into_owned());
        assert_eq!(name.as_deref(), Some("two.example"));
    }

    #[test]
    fn what_is_no_address_leads_back_to_the_first_one() {
        let first = "wss://one.example:443/";
        for address in [
            "",
            "two.example:9001",
            "ws://two.example/",
            "https://two.example/",
            "wss://two.example:0/",
            "wss://two.example/a b",
        ] {
            let mut destination = destination(by_url("wss://one.example/"));
            destination.sent_on("wss://three.example/");
            assert_eq!(destination.sent_on(address), Onward::Later, "{address}");
            assert_eq!(destination.route().to_string(), first);
        }
        let mut plain = destination(at("one.example:9001"));
        for address in ["two.example", "two.example:99999", "ws://two.example:9001/"] {
            assert_eq!(plain.sent_on(address), Onward::Later, "{address}");
        }
    }

    #[test]
    fn nobody_is_sent_in_circles() {
        let mut destination = destination(at("one.example:9001"));
        for _ in 0..2 {
            let departures = [(); 4].map(|()| destination.sent_on("two.example:9001"));
            assert_eq!(departures[..3], [Onward::AtOnce; 3]);
            assert_eq!(departures[3], Onward::Later);
            assert_eq!(destination.route().to_string(), "one.example:9001");
        }
        destination.sent_on("two.example:9001");
        destination.logged_in();
        let departures = [(); 3].map(|()| destination.sent_on("two.example:9001"));
        assert_eq!(departures, [Onward::AtOnce; 3], "a login counts anew");
    }

    #[test]
    fn a_node_is_remembered_until_it_makes_no_login() {
        let mut destination = destination(at("one.example:9001"));
        assert!(!destination.lost(), "there is no other");
        destination.sent_away("two.example:9001");
        destination.begins();
        destination.logged_in();
        assert!(!destination.lost());
        assert_eq!(destination.route().to_string(), "two.example:9001");
        destination.begins();
        assert!(destination.lost());
        assert_eq!(destination.route().to_string(), "one.example:9001");
    }
}
