//! Peace: terminals stay as they are, and everybody is asked until all that is told is what they know. Then the rest of the history is
//! written.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use crate::history::{Event, Statuses};
use crate::node::{GRACE_S, TIMEOUT_S};
use crate::stream;
use crate::workload::{Phase, Standing};
use crate::world::{PATIENCE, World, comes_true, users, wait_until};

impl World {
    /// All calms down: waits until what everybody is told is what terminals know, or for longer than any grace.
    pub fn rest(&self) {
        self.workload.set_phase(Phase::Quiet);
        let patience = Duration::from_secs(GRACE_S + TIMEOUT_S + 40);
        comes_true(patience, || self.is_settled());
        self.recorder.record(&Event::Rest {
            at: self.recorder.now(),
        });
        for node in self.nodes.iter().filter(|node| node.gateway.is_some()) {
            for some in users().chunks(100) {
                let asked = || {
                    self.runtime
                        .block_on(self.backend.query(&self.recorder, node.doors(), some))
                };
                wait_until("a whole answer", asked);
            }
        }
        for (who, standing) in self.workload.standings() {
            let linked = match standing {
                Standing::Linked(session) => Some(session),
                Standing::Coming | Standing::Out => None,
            };
            self.recorder.record(&Event::Terminal { who, linked });
        }
        stream::record(self);
        self.record_callbacks();
    }

    fn is_settled(&self) -> bool {
        let standings = self.workload.standings();
        if standings.values().any(|standing| *standing == Standing::Coming) {
            return false;
        }
        let is_right = |user: &String, seen: &Option<Statuses>| {
            let of_user = standings.iter().filter(|(who, _)| who.user == *user);
            of_user.into_iter().all(|(who, standing)| {
                let name = if who.platform == "Windows" {
                    "PC"
                } else {
                    &who.platform
                };
                let status = seen.as_ref().and_then(|seen| seen.get(name));
                matches!(standing, Standing::Linked(_)) == status.is_some_and(|status| status == "Online")
            })
        };
        let running = self.nodes.iter().filter(|node| node.gateway.is_some());
        running.into_iter().all(|node| {
            users().chunks(100).all(|some| {
                let statuses = self.runtime.block_on(self.backend.statuses(node.doors(), some));
                statuses.is_some_and(|statuses| {
                    statuses.len() == some.len() && statuses.iter().all(|(user, seen)| is_right(user, seen))
                })
            })
        })
    }

    /// Waits until every change on record has come to the receiver, and writes down what came.
    fn record_callbacks(&self) {
        let mut due: HashSet<(String, u64)> = self
            .recorder
            .read()
            .into_iter()
            .filter_map(|event| match event {
                Event::Change { user, change, .. } => Some((user, change)),
                _ => None,
            })
            .collect();
        let mut looked_at = 0;
        comes_true(PATIENCE, || {
            let told = self.receiver.told();
            for callback in &told[looked_at..] {
                due.remove(&(callback.user.clone(), callback.change));
            }
            looked_at = told.len();
            due.is_empty()
        });
        for told in self.receiver.told() {
            let of = |place: &Value| place.as_str().unwrap_or_default().to_owned();
            let kicked = told.body["KickedDevice"].as_array().cloned().unwrap_or_default();
            let platform = told
                .query
                .split('&')
                .find_map(|pair| pair.strip_prefix("OptPlatform="));
            self.recorder.record(&Event::Callback {
                at: self.recorder.time_of(told.at),
                user: told.user,
                change: told.change,
                previous: told.previous,
                session: told.session,
                action: of(&told.body["Info"]["Action"]),
                reason: of(&told.body["Info"]["Reason"]),
                platform: platform.unwrap_or_default().to_owned(),
                kicked: kicked.iter().map(|device| of(&device["Platform"])).collect(),
            });
        }
    }
}
