//! A shard on the test's own thread.

use super::*;

#[test]
fn a_shard_whose_ring_lost_completions_ends_and_says_why() {
    let config = config(1, 8, 16);
    let prepared = PreparedShard::new(config).unwrap();
    let (neighbours, senders) = (vec![prepared.neighbour()], [prepared.sender()]);
    let mut shard = prepared
        .enable(Clock::start(), neighbours, registry(&senders))
        .unwrap();
    shard.ring.take(&Err(io::Error::from_raw_os_error(libc::EBADR)));
    // One that noticed nothing would end in order.
    senders[0].send(ToShard::Stop).unwrap();
    let restored = crossbeam_channel::bounded(0).1;
    assert_eq!(shard.run(&restored), Err(RingFault::CompletionsLost));
}
