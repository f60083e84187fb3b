//! The limits that are not settings and that several rooms share: name, value and reason. Bounds of settings stand with
//! the settings.

/// Tencent Cloud IM's limit of a UserID.
pub const USER_ID_BYTES_MAX: usize = 32;

/// Where terminals reach a node, as they are told: a host's name has at most 253 bytes, and a port or a path come behind it.
pub const PUBLIC_ADDRESS_BYTES_MAX: usize = 512;

/// A login with the longest UserSig seen in practice (under 1 KiB) fits four times over.
pub const FRAME_BYTES_MAX_BEFORE_LOGIN: usize = 4 * 1024;

/// Room for later packets; nobody who has not proven who they are may make us keep this much.
pub const FRAME_BYTES_MAX_AFTER_LOGIN: usize = 64 * 1024;

/// Bytes that wait behind a login for its answer. A terminal that is not answered yet has little to say.
pub const EAGER_BYTES_MAX: usize = 4 * 1024;

/// SDK and app versions: long enough for "12.34.5678-beta.9+build".
pub const VERSION_BYTES_MAX: usize = 32;

/// Distinct version strings kept by one shard; when its connections show so many, others are shown as `other`. Bounds what
/// users can make a shard remember: 4,096 × (32 + 24) bytes.
pub const VERSIONS_MAX: usize = 4_096;

/// How often a full table of version strings is looked through for those that no connection shows: it takes a few
/// milliseconds with a million connections.
pub const VERSIONS_SWEEP_MS: u64 = 1_000;

/// Logins that wait for one user while a change of it is with the registry.
pub const LOGINS_WAITING_MAX: usize = 16;

/// The longest that a terminal is told to stay away when the gateway is full. Longer waits save nothing: a minute spreads
/// what a shard refuses to as many commits as its registry takes in that minute.
pub const RETRY_WINDOW_MS_MAX: u64 = 60_000;

/// How many seconds ahead a shard knows who is to come back: half of the longest `terminals.retry_after_ms`, and the longest
/// window behind it. 512 B a shard.
pub const RETURN_SECONDS: usize = 128;

/// The same for a user whose partition no node has, or one that is not open yet. It is about to be taken over: after the loss of a
/// host that takes some 11 s.
pub const HOMELESS_WINDOW_MS_MAX: u64 = 15_000;

const _: () = assert!(HOMELESS_WINDOW_MS_MAX <= RETRY_WINDOW_MS_MAX);
const _: () = assert!(RETURN_SECONDS as u64 * 1_000 > RETRY_WINDOW_MS_MAX + 30_000);

/// Addresses, as far as their prefixes tell them apart, that one shard counts connections and failed logins of. At 33 B each
/// it bounds what strangers can make a shard remember to 4 MiB. An address that finds no room is not limited: a full table
/// must not lock out those who did nothing.
pub const ADDRESSES_MAX: usize = 65_536;

/// How often a full table of addresses is looked through for those that do not matter any more: it takes about a
/// millisecond.
pub const ADDRESSES_SWEEP_MS: u64 = 1_000;

/// Failed logins of an address are counted for a minute from the first one on, as the setting says.
pub const FAILED_LOGINS_WINDOW_MS: u64 = 60_000;

/// All pauses of a restart grace together last at most so many times the grace: who could not come back in that time has to
/// log in like anybody else, and who is gone does not stay Online for longer because others are refused.
pub const GRACE_PAUSES_MAX: u32 = 3;

/// A user's logins are counted over a minute, as the setting says.
pub const LOGIN_RATE_WINDOW_MS: u64 = 60_000;

/// Users that one shard counts logins of: those who logged in within the last second or so, and those who do it all the time. At
/// up to 82 B each it bounds what they can make a shard remember to 5.4 MB. A user that finds no room is not limited: a full
/// table must not lock out those who did nothing.
pub const LOGIN_RATES_MAX: usize = 65_536;

/// How often users whose logins do not count any more are forgotten. With a token a second that is as long as one login counts.
pub const LOGIN_RATES_SWEEP_MS: u64 = 1_000;

/// Kicks that wait for one user.
pub const KICKS_WAITING_MAX: usize = 16;

/// Requests to send something that wait for one user while a change of it is with the registry.
pub const SENDS_WAITING_MAX: usize = 64;

/// Users whom one message can be sent to by one request, as many as Tencent Cloud IM's batchsendmsg takes.
pub const SEND_TARGETS_MAX: usize = 500;

/// The longest body of a message, which fits with all else into the longest packet that a terminal takes.
pub const MESSAGE_BODY_BYTES_MAX: usize = 60 * 1024;

/// What the kind of a message may have: it may become a part of a topic in another dialect.
pub const MESSAGE_KIND_BYTES_MAX: usize = 64;

/// Messages that one device has not acknowledged. An app that takes none must not make the gateway keep more.
pub const DEVICE_MESSAGES_MAX: usize = 64;

/// What they may count for together: as much as may wait on a connection's way out.
pub const DEVICE_MESSAGE_BYTES_MAX: usize = OUTBOUND_BYTES_MAX;

/// What a message counts for beside its body, while it waits for one device: what is kept of it, and its share of the texts.
pub const HELD_MESSAGE_BYTES: usize = 256;

/// Ids in one acknowledgement: as many as a device may have to acknowledge.
pub const ACK_IDS_MAX: usize = DEVICE_MESSAGES_MAX;

/// What an app may answer a message.
pub const ACK_REPLY_BYTES_MAX: usize = 4 * 1024;

const _: () = assert!(MESSAGE_BODY_BYTES_MAX + HELD_MESSAGE_BYTES <= DEVICE_MESSAGE_BYTES_MAX);
const _: () = assert!(MESSAGE_BODY_BYTES_MAX + 1024 <= FRAME_BYTES_MAX_AFTER_LOGIN);

/// How a device's last session ended is remembered for this many devices of a user.
pub const ENDED_DEVICES_MAX: usize = 16;

/// UserIDs in one status query (Tencent Cloud IM, query_online_status).
pub const QUERY_USERS_MAX: usize = 500;

/// An inflated UserSig. Real ones have under 1 KiB; the bound stops a small input that inflates for ever.
pub const USERSIG_INFLATED_BYTES_MAX: usize = 4 * 1024;

/// How long a UserSig may be good, in seconds: 50 years of up to 366 days, the longest that the vendor's pages allow. A forged
/// or mistaken lifetime must not be as good as for ever.
pub const USERSIG_LIFETIME_S_MAX: u64 = 50 * 366 * 86_400;

/// Users of one shard that may have something with the registry at the same time. With a commit of a
/// millisecond this passes four million changes per second, far beyond what a core decides.
pub const REGISTRY_IN_FLIGHT_MAX: usize = 4_096;

/// Connections on their way to one shard, from all others together. A move takes microseconds; more than this waiting
/// means that the shard does not keep up, and the login is told `busy`.
pub const MOVES_IN_FLIGHT_MAX: usize = 1_024;

/// Requests of the HTTP server that are not answered yet. Each may have one part in every shard's inbox.
pub const HTTP_IN_FLIGHT_MAX: usize = 1_024;

/// Other nodes that may answer one request at once: far more than a cluster with the most partitions is divided among.
pub const CLUSTER_NODES_MAX: u16 = 1_024;

/// First wait before a failed commit is tried again, and the longest; doubled in between.
pub const COMMIT_RETRY_MS_MIN: u64 = 100;
/// See [`COMMIT_RETRY_MS_MIN`].
pub const COMMIT_RETRY_MS_MAX: u64 = 5_000;

const _: () = assert!(FRAME_BYTES_MAX_BEFORE_LOGIN <= FRAME_BYTES_MAX_AFTER_LOGIN);
const _: () = assert!(COMMIT_RETRY_MS_MIN < COMMIT_RETRY_MS_MAX);

/// Alarms that one shard works off in one turn, so that a million falling due together never keep a heartbeat
/// waiting for long.
pub const ALARMS_PER_TURN_MAX: usize = 1_024;

/// One provided buffer. Heartbeats have a few bytes and logins under 1 KiB; longer packets take several.
pub const RECEIVE_BUFFER_BYTES: usize = 512;

/// Connections that wait to be accepted at one listener. The kernel takes no more than `net.core.somaxconn`, which is
/// 4,096 by default.
pub const LISTEN_BACKLOG_CONNECTIONS: i32 = 4_096;

/// Accepts that are pending at one listener. Enough that a burst is taken in few turns; few enough that a full
/// table is met by a small overshoot.
pub const ACCEPTS_PENDING: u32 = 64;

/// What a socket asks the kernel to hold of unread bytes. A packet before login fits; a million silent terminals
/// that push bytes must not exhaust the memory of TCP.
pub const SOCKET_RECEIVE_BYTES: usize = 16 * 1024;

/// What a socket asks the kernel to hold of unsent bytes. The largest answer fits; what a slow reader makes the
/// kernel keep is bounded.
pub const SOCKET_SEND_BYTES: usize = 16 * 1024;

/// Operations that go to the kernel with one call. A fuller turn takes several calls.
pub const RING_SUBMISSIONS: u32 = 1_024;

/// Completions that a ring holds before the kernel keeps them elsewhere. It also sets the number of buckets that a
/// cancel is looked up in, so it must not be smaller.
pub const RING_COMPLETIONS: u32 = 8_192;

const _: () = assert!(RING_SUBMISSIONS < RING_COMPLETIONS);
const _: () = assert!(RECEIVE_BUFFER_BYTES < 1 << 16);

/// What a shard takes out of its inbox in one turn, so that a flood of it does not starve its terminals.
pub const INBOX_TAKEN_PER_TURN_MAX: usize = 1_024;

/// Steps of handshakes that a shard does in one turn. Each takes some 300 µs: so heartbeats wait for them a millisecond or so.
pub const STEPS_PER_TURN_MAX: usize = 4;

/// Connections of a shard that wait for a step of their handshakes. A core does some 3,000 of them in a second, so that the last
/// one waits some 3 s of its login deadline; the way to the terminal and back needs the rest.
pub const STEPS_WAITING_MAX: usize = 8_192;

/// Completions that a shard reaps at once. A tenth of what the ring holds: it never runs over in one turn.
pub const COMPLETIONS_PER_ROUND_MAX: usize = 512;

/// Rounds of reaping and submitting in one turn. A heartbeat takes two: the poll, then the receive.
pub const ROUNDS_PER_TURN_MAX: usize = 4;

/// Reloaded settings on their way to one shard. A reload waits until every shard has taken the one before the last.
pub const SETTINGS_IN_FLIGHT_MAX: usize = 2;

/// What is told of partitions, homes and the lease on its way to one shard: a few for each partition that is adopted at a time.
/// Users that are adopted are in some of them, so it bounds what a shard is given at once.
pub const CLUSTER_NOTICES_IN_FLIGHT_MAX: usize = 64;

/// Bytes that wait for a terminal that does not read. A login's answer and a goodbye fit many times over.
pub const OUTBOUND_BYTES_MAX: usize = 64 * 1024;

/// Sends that have ended whose room one ring keeps for the next ones: as many as it reaps at once. Together 128 KiB.
pub const SPARE_SENDS_MAX: usize = COMPLETIONS_PER_ROUND_MAX;

/// Of each of them. A heartbeat's answer by TLS has 25 bytes, and most others have under 200.
pub const SPARE_SEND_BYTES_MAX: usize = 256;

/// How long a closing connection may take to send what is on its way out. A network of phones delivers within a few
/// seconds or not at all.
pub const DRAIN_MS_MAX: u64 = 3_000;

/// Buffers of received bytes that are thrown away before a close, 64 KiB in all. Bytes that nobody read would turn the close
/// into a reset, which destroys the last packet on its way out.
pub const DISCARDED_BUFFERS_MAX: u8 = 128;

/// How long a shard accepts nothing after the system refused it a descriptor or memory.
pub const ACCEPT_AGAIN_MS: u64 = 100;

/// Heartbeats that a timed wait is made to gather. More would only add delay: the cost of a wake is spread thin enough.
pub const HEARTBEATS_PER_TIMED_WAIT: u64 = 32;

/// A timed wait that gathers fewer than this is not worth its delay.
pub const HEARTBEATS_PER_TIMED_WAIT_MIN: u64 = 2;

/// How long a shard waits between two turns, µs, while so much comes that it need not listen: a login takes a handful of turns, and
/// is answered in a few milliseconds all the same.
pub const BATCHING_WAIT_US: u64 = 500;

/// It does so when it expects at least this many newcomers and words of other threads meanwhile. A wake for each would cost more than what is
/// done for it.
pub const EVENTS_PER_BATCHING_WAIT_MIN: u64 = 8;

/// The timed wait is set by what came in this time; what came before counts half, and so on. Ten of the longest waits by
/// default: a few that gathered little by chance do not end them.
pub const WAKE_POLICY_WINDOW_MS: u64 = 200;

/// One part in this many of a table is kept for connections that other shards hand over.
pub const ARRIVALS_PART: u32 = 8;

const _: () = assert!(RECEIVE_BUFFER_BYTES * DISCARDED_BUFFERS_MAX as usize <= OUTBOUND_BYTES_MAX);
const _: () = assert!(COMPLETIONS_PER_ROUND_MAX * 8 < RING_COMPLETIONS as usize);
