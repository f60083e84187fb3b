//! A terminal against a gateway of a few lines.

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::route::RouteArguments;
use super::*;
use crate::base::ids::{Platform, UserId};
use crate::cli::host_port::HostPort;
use crate::node::config::Sources;
use crate::protocol::native::encode;
use crate::protocol::native::frame;
use crate::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES, FEATURE_REDIRECT};

/// Lines that a test gives.
fn lines_of(writer: Writer) -> (mpsc::Sender<Line>, LineInput) {
    let (sender, lines) = mpsc::channel(16);
    (sender, LineInput::new(writer, lines))
}

fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// The terminal of a test, and where it connects to.
struct Bench {
    listener: TcpListener,
    config: Config,
    arguments: ConnectArguments,
}

impl Bench {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let arguments = ConnectArguments {
            user: UserId::new(b"alice").unwrap(),
            platform: Platform::IPhone,
            instance: InstanceId::new(7),
            route: RouteArguments {
                address: Some(HostPort::of(listener.local_addr().unwrap())),
                ..RouteArguments::default()
            },
            background: true,
            usersig: None,
        };
        Self {
            listener,
            config: Config::read(&Sources::default()).unwrap(),
            arguments,
        }
    }

    fn terminal(&self, input: LineInput) -> InteractiveTerminal<'_> {
        let route = GatewayRoute::of(&self.arguments.route, &self.config).unwrap();
        InteractiveTerminal::new(&self.config, &self.arguments, route, input)
    }

    async fn accept(&self) -> Far {
        let (stream, _) = self.listener.accept().await.unwrap();
        Far {
            stream,
            received: Vec::new(),
        }
    }

    /// Takes one connection, reads its login, says something, and closes.
    async fn answer(&self, packet: response::Packet) -> proto::Login {
        let mut far = self.accept().await;
        let login = far.login().await;
        far.say(packet).await;
        login
    }
}

/// The gateway's end of a connection.
struct Far {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Far {
    async fn read(&mut self) -> Option<request::Packet> {
        loop {
            if let frame::Next::Packet(packet, rest) = frame::next(&self.received, 4_096) {
                let request = proto::Request::decode(packet).unwrap();
                self.received = rest.to_vec();
                return request.packet;
            }
            if self.stream.read_buf(&mut self.received).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn login(&mut self) -> proto::Login {
        match self.read().await {
            Some(request::Packet::Login(login)) => login,
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, packet: response::Packet) {
        let bytes = encode(&proto::Response { packet: Some(packet) });
        self.stream.write_all(&bytes).await.unwrap();
    }
}

fn accepted() -> response::Packet {
    response::Packet::LoginAnswer(proto::LoginAnswer {
        verdict: Some(proto::Verdict::default()),
        session: 5,
        heartbeat_interval_ms: 120_000,
        heartbeat_timeout_ms: 400_000,
        ..Default::default()
    })
}

fn verdict(what_next: proto::WhatNext) -> Option<proto::Verdict> {
    Some(proto::Verdict {
        code: 1,
        what_next: what_next.into(),
        ..Default::default()
    })
}

fn refused(what_next: proto::WhatNext) -> response::Packet {
    response::Packet::LoginAnswer(proto::LoginAnswer {
        verdict: verdict(what_next),
        ..Default::default()
    })
}

#[test]
fn comes_back_with_its_session_until_it_is_told_to_ask() {
    on_a_runtime(async {
        let bench = Bench::new().await;
        let (_keyboard, input) = lines_of(Writer::Person);
        let mut terminal = bench.terminal(input);
        let (end, login) = tokio::join!(terminal.hold_link(), bench.answer(accepted()));
        assert!(matches!(end.unwrap(), End::Lost(_)));
        assert_eq!((login.session, login.instance, login.background), (0, 7, true));
        let force = response::Packet::ForceOffline(proto::ForceOffline {
            verdict: verdict(proto::WhatNext::LogInAfresh),
            ..Default::default()
        });
        let (end, login) = tokio::join!(terminal.hold_link(), bench.answer(force));
        assert!(matches!(end.unwrap(), End::Told(NextStep::Ask, _)));
        assert_eq!(login.session, 5);
    });
}

#[test]
fn each_line_waits_until_the_one_before_it_was_answered() {
    on_a_runtime(async {
        let bench = Bench::new().await;
        let (keyboard, input) = lines_of(Writer::Script);
        let mut terminal = bench.terminal(input);
        for line in [Line::Background(false), Line::Logout, Line::Quit] {
            keyboard.try_send(line).unwrap();
        }
        let far = async {
            let mut far = bench.accept().await;
            far.login().await;
            // What it has not read by now it reads only after the login's answer.
            tokio::task::yield_now().await;
            assert_eq!(keyboard.capacity(), keyboard.max_capacity() - 3);
            far.say(accepted()).await;
            assert!(matches!(far.read().await, Some(request::Packet::Background(_))));
            assert!(matches!(far.read().await, Some(request::Packet::Logout(_))));
            assert_eq!(keyboard.capacity(), keyboard.max_capacity() - 1, "/quit waits");
            far.say(response::Packet::LogoutAnswer(proto::LogoutAnswer {}))
                .await;
        };
        let (outcome, ()) = tokio::join!(terminal.stay(), far);
        assert_eq!(outcome.unwrap(), ExitCode::SUCCESS);
    });
}

#[test]
fn bytes_that_are_no_packet_are_a_lost_link_to_a_gateway_that_was_there() {
    on_a_runtime(async {
        let bench = Bench::new().await;
        let (_keyboard, input) = lines_of(Writer::Script);
        let mut terminal = bench.terminal(input);
        let far = async {
            let mut far = bench.accept().await;
            far.login().await;
            far.say(accepted()).await;
            far.stream.write_all(&[0xff; 11]).await.unwrap();
            far
        };
        let (end, _far) = tokio::join!(terminal.hold_link(), far);
        assert!(matches!(end.unwrap(), End::Lost(_)));
        assert!(terminal.was_in);
    });
}

#[test]
fn waits_are_short_again_after_a_heartbeat_and_not_after_a_login() {
    on_a_runtime(async {
        let bench = Bench::new().await;
        let (_keyboard, input) = lines_of(Writer::Script);
        let mut terminal = bench.terminal(input);
        terminal.backoff = BACKOFF_MAX;
        let beat = response::Packet::HeartbeatAnswer(proto::HeartbeatAnswer {});
        for (packet, expected) in [(accepted(), BACKOFF_MAX), (beat, BACKOFF_MIN)] {
            let (end, _) = tokio::join!(terminal.hold_link(), bench.answer(packet));
            assert!(matches!(end.unwrap(), End::Lost(_)));
            assert_eq!(terminal.backoff, expected);
        }
    });
}

/// What a script is told when its first login is answered like this.
async fn told_by(packet: response::Packet) -> CommandFault {
    let bench = Bench::new().await;
    let (_keyboard, input) = lines_of(Writer::Script);
    let mut terminal = bench.terminal(input);
    let (outcome, _) = tokio::join!(terminal.stay(), bench.answer(packet));
    outcome.unwrap_err().downcast().unwrap()
}

#[test]
fn a_script_is_never_asked_and_nothing_is_tried_in_vain() {
    on_a_runtime(async {
        use proto::WhatNext::{LogInAfresh, RenewUsersig, Stop};
        for what_next in [Stop, LogInAfresh, RenewUsersig] {
            assert!(matches!(
                told_by(refused(what_next)).await,
                CommandFault::Refused(_)
            ));
        }
        // A link that ends before a gateway has answered here may be that of anything.
        let beat = response::Packet::HeartbeatAnswer(proto::HeartbeatAnswer {});
        assert!(matches!(told_by(beat).await, CommandFault::Unreached(_)));
    });
}

/// The session of a person's next login, after one that was refused like this.
async fn session_after(what_next: proto::WhatNext) -> u64 {
    let bench = Bench::new().await;
    let (keyboard, input) = lines_of(Writer::Person);
    let mut terminal = bench.terminal(input);
    tokio::join!(terminal.hold_link(), bench.answer(accepted()))
        .0
        .unwrap();
    let far = async {
        bench.answer(refused(what_next)).await;
        keyboard.try_send(Line::Enter).unwrap();
        bench.answer(refused(proto::WhatNext::Stop)).await
    };
    let (end, login) = tokio::join!(terminal.stay(), far);
    assert!(end.is_err());
    login.session
}

#[test]
fn a_person_keeps_the_session_where_only_the_usersig_is_no_good() {
    on_a_runtime(async {
        assert_eq!(session_after(proto::WhatNext::RenewUsersig).await, 5);
        assert_eq!(session_after(proto::WhatNext::LogInAfresh).await, 0);
    });
}

#[test]
fn a_person_is_not_asked_to_try_the_same_usersig_again() {
    on_a_runtime(async {
        let mut bench = Bench::new().await;
        bench.arguments.usersig = Some("brought along".to_owned());
        let (keyboard, input) = lines_of(Writer::Person);
        drop(keyboard);
        let mut terminal = bench.terminal(input);
        let refusal = bench.answer(refused(proto::WhatNext::RenewUsersig));
        let (outcome, login) = tokio::join!(terminal.stay(), refusal);
        assert_eq!(login.user_sig, "brought along");
        let fault: CommandFault = outcome.unwrap_err().downcast().unwrap();
        assert!(matches!(fault, CommandFault::Refused(_)), "{fault}");
    });
}

fn sent_on(address: &str) -> response::Packet {
    response::Packet::LoginAnswer(proto::LoginAnswer {
        verdict: Some(proto::Verdict {
            code: proto::Code::Elsewhere.into(),
            what_next: proto::WhatNext::Retry.into(),
            ..Default::default()
        }),
        address: address.to_owned(),
        ..Default::default()
    })
}

#[test]
fn goes_to_the_node_that_has_its_user_and_back_where_that_is_gone() {
    on_a_runtime(async {
        let (bench, node) = (Bench::new().await, Bench::new().await);
        let (keyboard, input) = lines_of(Writer::Script);
        let mut terminal = bench.terminal(input);
        let address = node.listener.local_addr().unwrap().to_string();
        let far = async {
            let login = bench.answer(sent_on(&address)).await;
            assert_eq!(login.features, FEATURE_REDIRECT | FEATURE_MESSAGES | FEATURE_ACKS);
            node.answer(accepted()).await;
            // It was lost after the login: it is remembered.
            assert_eq!(node.answer(accepted()).await.session, 5);
            drop(node);
            let mut first = bench.accept().await;
            assert_eq!(first.login().await.session, 5);
            first.say(accepted()).await;
            keyboard.send(Line::Quit).await.unwrap();
            first
        };
        let (outcome, _first) = tokio::join!(terminal.stay(), far);
        assert_eq!(outcome.unwrap(), ExitCode::SUCCESS);
    });
}

#[test]
fn a_first_login_that_was_sent_to_nobody_comes_back() {
    on_a_runtime(async {
        let bench = Bench::new().await;
        let (_keyboard, input) = lines_of(Writer::Script);
        let mut terminal = bench.terminal(input);
        let nobody = Bench::new().await.listener.local_addr().unwrap().to_string();
        let far = async {
            bench.answer(sent_on(&nobody)).await;
            bench.answer(refused(proto::WhatNext::Stop)).await;
        };
        let (outcome, ()) = tokio::join!(terminal.stay(), far);
        let fault: CommandFault = outcome.unwrap_err().downcast().unwrap();
        assert!(matches!(fault, CommandFault::Refused(_)), "{fault}");
    });
}

#[test]
fn a_goodbye_names_the_next_address() {
    on_a_runtime(async {
        let (bench, node) = (Bench::new().await, Bench::new().await);
        let (_keyboard, input) = lines_of(Writer::Script);
        let mut terminal = bench.terminal(input);
        let goodbye = response::Packet::GoAway(proto::GoAway {
            verdict: Some(proto::Verdict {
                code: proto::Code::Elsewhere.into(),
                what_next: proto::WhatNext::Retry.into(),
                ..Default::default()
            }),
            address: node.listener.local_addr().unwrap().to_string(),
            ..Default::default()
        });
        let far = async {
            bench.answer(goodbye).await;
            node.answer(refused(proto::WhatNext::Stop)).await;
        };
        let (outcome, ()) = tokio::join!(terminal.stay(), far);
        assert!(outcome.is_err());
    });
}

#[test]
fn a_link_that_does_not_come_back_is_given_up() {
    on_a_runtime(async {
        let bench = Bench::new().await;
        let (_keyboard, input) = lines_of(Writer::Script);
        let mut terminal = bench.terminal(input);
        tokio::join!(terminal.hold_link(), bench.answer(accepted()))
            .0
            .unwrap();
        terminal.away_since = Instant::now().checked_sub(COMING_BACK_MAX);
        let lost = terminal.pause(Duration::ZERO, terminal.lost(&"gone")).await;
        let lost: CommandFault = lost.unwrap_err().downcast().unwrap();
        assert!(matches!(lost, CommandFault::Lost(_)), "{lost}");
        // A login sets the time back.
        tokio::join!(terminal.hold_link(), bench.answer(accepted()))
            .0
            .unwrap();
        assert_eq!(terminal.away_since, None);
    });
}

#[test]
fn a_person_may_leave_while_it_comes_back() {
    on_a_runtime(async {
        let bench = Bench::new().await;
        let (keyboard, input) = lines_of(Writer::Person);
        let mut terminal = bench.terminal(input);
        keyboard.try_send(Line::Quit).unwrap();
        let reason = terminal.lost(&"gone");
        assert!(terminal.pause(BACKOFF_MAX, reason).await.is_err());
    });
}
