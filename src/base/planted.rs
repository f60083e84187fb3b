//! Bugs on purpose: each breaks one rule where it is kept, so that the simulation can show that it would be seen.
//! They exist in tests only: in every other build [`planted`] is `false`, and what stands behind it is gone.

/// One broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The policy forgets the surplus of the newcomer's own platform.
    SurplusStays,
    /// `oldest-wins` forces off who has a live connection.
    OldestGivesWay,
    /// A UserSig from before the kick is good.
    KickedSecondUnchecked,
    /// A forced-off session comes back.
    ForcedOffComesBack,
    /// A session number from the future is good.
    FutureSessionResumes,
    /// A resume makes the login fresh again.
    ResumeIsFresh,
    /// How sessions ended is not looked up.
    EndsForgotten,
    /// The late end of an old connection ends the new one.
    LateLinkEndCounts,
    /// The logout of an old connection ends the session that went on over a newer one.
    LateLogoutCounts,
    /// A link end that finds no room with the registry is dropped.
    LinkEndNeedsRoom,
    /// A link that ends while its login is with the registry is not noticed.
    LinkEndWhileConfirming,
    /// A login is decided although its terminal has gone.
    GoneLoginDecided,
    /// A logout behind a login is lost if the link ends before the login's answer.
    BehindLoginLost,
    /// A closed web page is Offline at once.
    WebOfflineAtOnce,
    /// Silence counts a tick too early.
    EarlyByATick,
    /// A device that was heard meanwhile is timed out all the same.
    NotLookedAtAgain,
    /// The alarm of a device that was heard meanwhile is not set again.
    AlarmForgotten,
    /// A heartbeat is answered, but not heard.
    HeartbeatUnheard,
    /// The end of a silent connection is not told.
    SilenceUntold,
    /// A new connection of the same device leaves the old one open.
    OldConnectionStays,
    /// The login answer names devices that were not Online.
    PushOnlineNamed,
    /// The change number shows before the change is confirmed.
    ShownBeforeConfirmed,
    /// A change that the registry did not take shows.
    FailedCommitShown,
    /// A failed change is not tried again.
    RetryForgotten,
    /// Numbers have gaps.
    GapInNumbers,
    /// What comes last is decided first.
    LastComesFirst,
    /// One request more than the room with the registry.
    OneTooMany,
    /// A login that was let in is told that the gateway is busy.
    AcceptedIsBusy,
    /// The background flag of a login is not taken.
    BackgroundIgnored,
    /// After a logout the connection goes on.
    LogoutGoesOn,
    /// A kick spares who has no connection.
    KickSparesUnlinked,
    /// What came behind a login is lost on the way home.
    LeftoverLost,
    /// A connection that could not move is forgotten.
    StayedForgotten,
    /// Who does not come back after a start stays Online for ever.
    GraceForgotten,
    /// Nobody has a grace after a start.
    GraceCutShort,
    /// The grace goes on while logins are refused as busy.
    GraceRunsOn,
    /// The grace stands still as long as logins are refused, however long that is.
    GraceWithoutEnd,
    /// The grace stands still when one user has too many logins waiting.
    UserFloodStopsGrace,
    /// One user logs in as often as it likes.
    LoginRateUnlimited,
    /// A resume that goes on with its session counts as a login.
    ResumeTakesToken,
    /// A web page that does not come back is given up with the others, before its time-out.
    WebGivenUpEarly,
    /// The 7 days begin anew with a start.
    PushOnlineBeginsAnew,
    /// The second of a kick is forgotten at a start.
    RestoredKickForgotten,
    /// At a start each login becomes fresh.
    RestoredFreshForgotten,
    /// A deleted account goes on to exist.
    DeletionKeepsAccount,
    /// The kick of one device ends them all.
    DeviceKickEndsAll,
    /// The kick of one device ends the user's UserSigs.
    DeviceKickEndsSigs,
    /// Alarms take all the room with the registry.
    AlarmsTakeAllRoom,
    /// Accounts are made by a login although only an import may.
    AnybodyRegisters,
    /// Connections that come from another shard are not limited by their address.
    ArrivalsUnlimited,
    /// A connection that is gone counts on for its address.
    AddressKept,
    /// A login that failed does not count for its address.
    FailedLoginForgotten,
    /// Who is sent away comes back soon, however many they are.
    CrowdComesBackAtOnce,
    /// PushOnline counts from the registry's answer.
    PushOnlineCountsLate,
    /// The address of a lost connection is not recorded.
    AddressLost,
    /// A callback does not name the one before it.
    PreviousForgotten,
    /// A callback leaves although an earlier one of its user failed.
    CallbackOvertakes,
    /// A new callback of a user does not wait behind the late ones.
    LateOvertaken,
    /// The outbox's cursor does not wait for what is under way.
    CursorRunsAhead,
    /// A callback that fails again is forgotten.
    LateForgotten,
    /// A receiver that refuses callbacks counts as one that is not there.
    RefusalMeansDown,
    /// One user may have the whole window of callbacks.
    ShareUnlimited,
    /// A callback that the receiver refused counts as delivered.
    RefusalTaken,
    /// A callback that fails is given up whatever its age.
    GivenUpEarly,
    /// A callback that is given up does not become a dead letter.
    DeadLetterLost,
    /// A late callback that was dealt with before a crash waits again, where nobody looks.
    DealtWithWaits,
    /// A replay leaves beside other callbacks of its user.
    ReplayBeside,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 67] = [
        Self::SurplusStays,
        Self::OldestGivesWay,
        Self::KickedSecondUnchecked,
        Self::ForcedOffComesBack,
        Self::FutureSessionResumes,
        Self::ResumeIsFresh,
        Self::EndsForgotten,
        Self::LateLinkEndCounts,
        Self::LateLogoutCounts,
        Self::LinkEndNeedsRoom,
        Self::LinkEndWhileConfirming,
        Self::GoneLoginDecided,
        Self::BehindLoginLost,
        Self::WebOfflineAtOnce,
        Self::EarlyByATick,
        Self::NotLookedAtAgain,
        Self::AlarmForgotten,
        Self::HeartbeatUnheard,
        Self::SilenceUntold,
        Self::OldConnectionStays,
        Self::PushOnlineNamed,
        Self::ShownBeforeConfirmed,
        Self::FailedCommitShown,
        Self::RetryForgotten,
        Self::GapInNumbers,
        Self::LastComesFirst,
        Self::OneTooMany,
        Self::AcceptedIsBusy,
        Self::BackgroundIgnored,
        Self::LogoutGoesOn,
        Self::KickSparesUnlinked,
        Self::LeftoverLost,
        Self::StayedForgotten,
        Self::GraceForgotten,
        Self::GraceCutShort,
        Self::GraceRunsOn,
        Self::GraceWithoutEnd,
        Self::UserFloodStopsGrace,
        Self::LoginRateUnlimited,
        Self::ResumeTakesToken,
        Self::WebGivenUpEarly,
        Self::PushOnlineBeginsAnew,
        Self::RestoredKickForgotten,
        Self::RestoredFreshForgotten,
        Self::DeletionKeepsAccount,
        Self::DeviceKickEndsAll,
        Self::DeviceKickEndsSigs,
        Self::AlarmsTakeAllRoom,
        Self::AnybodyRegisters,
        Self::ArrivalsUnlimited,
        Self::AddressKept,
        Self::FailedLoginForgotten,
        Self::CrowdComesBackAtOnce,
        Self::PushOnlineCountsLate,
        Self::AddressLost,
        Self::PreviousForgotten,
        Self::CallbackOvertakes,
        Self::LateOvertaken,
        Self::CursorRunsAhead,
        Self::LateForgotten,
        Self::RefusalMeansDown,
        Self::ShareUnlimited,
        Self::RefusalTaken,
        Self::GivenUpEarly,
        Self::DeadLetterLost,
        Self::DealtWithWaits,
        Self::ReplayBeside,
    ];
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug for this thread, or weeds it out.
#[cfg(test)]
pub(crate) fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this thread has the bug.
#[cfg(test)]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this thread has the bug: never, outside of tests.
#[cfg(not(test))]
#[inline(always)]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}
