//! The codec beside an independent one: a client of `tungstenite` at the echo, and the terminal's end of the codec at a server
//! of `tungstenite`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use holdfast::protocol::transport::websocket::client::{self, put_masked};
use holdfast::protocol::transport::websocket::decoder::FrameDecoder;
use holdfast::protocol::transport::websocket::frame::Opcode;
use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::Message;

use crate::run;

/// Messages of lengths around those where their form changes, and of some others.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = prop_oneof![0_usize..300, 65_500_usize..65_600];
    let message = (length, any::<u8>()).prop_map(|(length, first)| {
        let bytes = (0..length).map(|place| first.wrapping_add(place as u8));
        bytes.collect()
    });
    vec(message, 0..6)
}

fn ask(address: SocketAddr) -> tungstenite::WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    let (socket, _) = tungstenite::client(format!("ws://{address}/"), stream).unwrap();
    socket
}

/// A server that sends all back.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut socket = tungstenite::accept(stream.unwrap()).unwrap();
            while let Ok(message) = socket.read() {
                if message.is_binary() {
                    socket.send(message).unwrap();
                }
            }
        }
    });
    address
}

/// Reads from the server until `is_enough`.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>, mut is_enough: impl FnMut(&mut Vec<u8>) -> bool) {
    while !is_enough(bytes) {
        let mut piece = [0; 4_096];
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "the server answers");
        bytes.extend_from_slice(&piece[..length]);
    }
}

#[test]
fn a_foreign_client_gets_back_what_it_sends() {
    let address = run::serve();
    proptest!(ProptestConfig::with_cases(64), |(messages in messages(), text in "\\PC{0,200}")| {
        let mut socket = ask(address);
        let sent = messages.into_iter().map(Message::binary).chain([Message::text(text)]);
        for message in sent {
            socket.send(message.clone()).unwrap();
            prop_assert_eq!(socket.read().unwrap(), message);
        }
        socket.send(Message::Ping("there?".into())).unwrap();
        prop_assert_eq!(socket.read().unwrap(), Message::Pong("there?".into()));
        socket.close(None).unwrap();
        prop_assert_eq!(socket.read().unwrap(), Message::Close(None));
    });
}

#[test]
fn a_foreign_server_sends_back_what_a_terminal_sends() {
    let address = serve();
    proptest!(ProptestConfig::with_cases(64), |(messages in messages(), masks: [u8; 4])| {
        let mut stream = TcpStream::connect(address).unwrap();
        let key = client::key([9; 16]);
        stream.write_all(client::request("localhost", "/", &key).as_bytes()).unwrap();
        let (mut answer, mut length) = (Vec::new(), None);
        read(&mut stream, &mut answer, |bytes| {
            length = client::answer(bytes, &key).unwrap();
            length.is_some()
        });
        let mut frames = Vec::new();
        messages.iter().for_each(|message| put_masked(Opcode::Binary, message, masks, &mut frames));
        // What comes back must not wait for what is still sent.
        let mut sender = stream.try_clone().unwrap();
        let sent = std::thread::spawn(move || sender.write_all(&frames));
        let expected = messages.concat();
        let (mut decoder, mut packets) = (FrameDecoder::default(), Vec::new());
        let mut behind = answer.split_off(length.unwrap());
        read(&mut stream, &mut behind, |bytes| {
            client::receive(&mut decoder, bytes, &mut packets).unwrap();
            bytes.clear();
            packets.len() >= expected.len()
        });
        sent.join().unwrap().unwrap();
        prop_assert_eq!(packets, expected);
    });
}
