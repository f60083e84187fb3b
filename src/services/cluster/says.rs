//! What a node says of itself to the others, in its row of the shared store: a JSON object. Fields that a reader does not know are passed
//! over, and those that are missing have a default, so nodes of two versions read each other. Decides nothing.

use serde::{Deserialize, Serialize};

use crate::base::ids::NodeId;
use crate::services::cluster::table::NodeRow;
use crate::services::cluster::token::{Incarnation, Site};
use crate::services::shared_store::calls::NodeState;

/// The form of these words. A higher one may mean a field otherwise than this program does.
const FORM: u32 = 1;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSays {
    /// Of these words. A reader takes what it knows of a higher one.
    pub form: u32,
    /// Where it runs, see [`Site`].
    pub site: u64,
    /// How many partitions it is to have, against others.
    pub weight: u32,
    /// Whom it cannot reach.
    pub unreachable: Vec<u16>,
    /// Where terminals reach it.
    pub public: PublicTexts,
    /// Where other nodes reach it.
    pub peers: Option<String>,
    /// Where readers of the stream reach it.
    pub admin: Option<String>,
    /// Its program's version.
    pub version: String,
    /// Tells settings that decide about users from others: nodes with two of them decide differently.
    pub policy: String,
    /// The boot of its host.
    pub boot: String,
}

/// Where terminals reach a node, by what they speak.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublicTexts {
    /// By plain TCP: a host and a port.
    pub tcp: Option<String>,
    /// By TLS: a host and a port.
    pub tls: Option<String>,
    /// By WebSocket: a URL.
    pub websocket: Option<String>,
    /// By WebSocket within TLS: a URL.
    pub secure_websocket: Option<String>,
}

impl Default for NodeSays {
    fn default() -> Self {
        Self {
            form: FORM,
            site: 0,
            weight: 1,
            unreachable: Vec::new(),
            public: PublicTexts::default(),
            peers: None,
            admin: None,
            version: String::new(),
            policy: String::new(),
            boot: String::new(),
        }
    }
}

impl NodeSays {
    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers, texts and lists of them are JSON")
    }

    /// From bytes that a node has written. Of what cannot be read nothing is known.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// The row of a node that says so.
    pub(super) fn row(&self, incarnation: u64, beat: u64, state: NodeState) -> NodeRow {
        NodeRow {
            incarnation: Incarnation(incarnation),
            beat,
            state,
            site: Site(self.site),
            weight: self.weight,
            unreachable: self.unreachable.iter().copied().map(NodeId).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_two_versions_read_each_other() {
        let said = NodeSays {
            site: u64::MAX,
            weight: 3,
            unreachable: vec![2],
            peers: Some("10.0.0.1:9004".to_owned()),
            admin: Some("10.0.0.1:9003".to_owned()),
            public: PublicTexts {
                tcp: Some("one.example:9001".to_owned()),
                ..PublicTexts::default()
            },
            ..NodeSays::default()
        };
        assert_eq!(NodeSays::decode(&said.encode()), said);
        let newer = br#"{"form":2,"site":7,"colour":"blue","public":{"quic":"a:1"}}"#;
        let read = NodeSays::decode(newer);
        assert_eq!((read.site, read.weight, read.form), (7, 1, 2));
        for bytes in [b"".as_slice(), b"{", b"7", b"{\"site\":-1}"] {
            assert_eq!(NodeSays::decode(bytes), NodeSays::default());
        }
    }
}
