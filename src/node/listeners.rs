//! What the connections of terminals' listeners travel in, by the configuration and the certificates. Opens nothing.

use std::sync::Arc;

use super::addresses::usable;
use super::certificates::TlsTerms;
use super::config::{Config, TerminalListener};
use crate::protocol::transport::Transport;
use crate::protocol::transport::settings::{ListenerTransports, TransportSettings};
use crate::protocol::transport::tls::server::TlsServer;
use crate::protocol::transport::websocket::upgrade::UpgradeRules;
use crate::shard::ShardListener;

/// The listeners of every shard.
pub(super) fn listeners(config: &Config, tls: &TlsTerms) -> Vec<ShardListener> {
    let trusted: Arc<[_]> = config.proxy_trusted.clone().into();
    let of = |listener: TerminalListener| {
        let websocket = (listener.transport == Transport::WebSocket).then_some(UpgradeRules {
            path: listener.path,
            origins: listener.origins,
        });
        let server = || {
            let server = tls.server.as_ref();
            server.expect("a configuration has certificates for its listeners with TLS")
        };
        let tls = listener.tls.then(|| server_for(websocket.as_ref(), server()));
        ShardListener {
            address: listener.address,
            transport: Arc::new(TransportSettings {
                proxy: listener.proxy,
                trusted: Arc::clone(&trusted),
                websocket,
                tls,
            }),
            dialect: listener.dialect,
        }
    };
    let usable = usable(&config.terminals, |listener| listener.address);
    usable.into_iter().map(of).collect()
}

/// What these are with other certificates: all else waits for a restart.
pub(super) fn renewed(transports: &ListenerTransports, server: &TlsServer) -> ListenerTransports {
    let of = |before: &Arc<TransportSettings>| match before.tls {
        None => Arc::clone(before),
        Some(_) => Arc::new(TransportSettings {
            tls: Some(server_for(before.websocket.as_ref(), server)),
            ..TransportSettings::clone(before)
        }),
    };
    ListenerTransports(transports.0.iter().map(of).collect())
}

fn server_for(websocket: Option<&UpgradeRules>, server: &TlsServer) -> TlsServer {
    match websocket {
        None => server.clone(),
        Some(_) => server.clone().with_http(),
    }
}
