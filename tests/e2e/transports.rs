//! Listeners of several kinds side by side in one gateway, and terminals at each that meet as one user.

use std::net::{SocketAddr, TcpStream};

use holdfast::protocol::native::proto::{Platform, request, response};
use holdfast::protocol::native::terminal::{NextResponse, next};
use tungstenite::{Message, WebSocket};

use crate::gateway;
use crate::support::gateway::free_addresses;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, frame, login};

fn web_login(address: SocketAddr, user: &str, instance: u64) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    let (mut websocket, _) = tungstenite::client("ws://gateway.example/chat", stream).unwrap();
    let login = frame(request::Packet::Login(login(user, Platform::Web, instance)));
    websocket.send(Message::binary(login)).unwrap();
    let packet = hear(&mut websocket);
    assert!(matches!(packet, response::Packet::LoginAnswer(answer) if answer.session > 0));
    websocket
}

fn hear(websocket: &mut WebSocket<TcpStream>) -> response::Packet {
    let message = websocket.read().unwrap();
    match next(&message.clone().into_data(), 4_096) {
        NextResponse::Packet(Some(packet), []) => packet,
        other => panic!("{message:?} is no packet: {other:?}"),
    }
}

#[test]
fn a_user_is_one_at_all_listeners() {
    let [web, ..] = free_addresses();
    let listener = format!("[{{address=\"{web}\", transport=\"websocket\", path=\"/chat\"}}]");
    let settings = [
        ("terminals.listener", &*listener),
        ("shards.count", "4"),
        ("presence.policy", "\"dual\""),
    ];
    let gateway = gateway(&settings);
    let mut both = Vec::new();
    for number in 0..20 {
        let user = format!("user-{number}");
        let (phone, _) = Terminal::log_in(gateway.terminals, login(&user, Platform::Iphone, 1));
        both.push((phone, web_login(web, &user, 1)));
    }
    for (phone, page) in &mut both {
        phone.send(request::Packet::Heartbeat(Default::default()));
        assert!(matches!(phone.read(), Some(response::Packet::HeartbeatAnswer(_))));
        let heartbeat = frame(request::Packet::Heartbeat(Default::default()));
        page.send(Message::binary(heartbeat)).unwrap();
        assert!(matches!(hear(page), response::Packet::HeartbeatAnswer(_)));
    }
    // Another page takes the first one's place.
    let _other = web_login(web, "user-7", 2);
    let (_, page) = &mut both[7];
    assert!(matches!(hear(page), response::Packet::ForceOffline(_)));
    let Message::Close(Some(close)) = page.read().unwrap() else {
        panic!("it goes on");
    };
    assert_eq!(u16::from(close.code), 1008);
    Http::default().await_status(gateway.http, "user-3", "Online");
    assert!(gateway.stop());
}
