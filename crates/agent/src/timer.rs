//! Waiting for an instant, to some tens of microseconds.
//!
//! tokio's timers tick in milliseconds, which would be most of the lag of a worker that is otherwise idle. A `timerfd` on
//! the very clock that schedules are made of wakes the event loop when the instant comes, without spinning.

use std::io;

use measure::{Clock, Timestamp};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// A timer of one thread's runtime.
#[derive(Debug)]
pub struct Timer {
    clock: Clock,
    /// A timer is read like a pipe: readable when it has gone off, and then eight bytes. tokio's own type for other
    /// descriptors can't be made without unsafe code.
    fd: Receiver,
}

impl Timer {
    /// A timer on the host's monotonic clock.
    ///
    /// # Errors
    /// When there is no file descriptor left.
    pub fn new(clock: Clock) -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { clock, fd: Receiver::from_owned_fd_unchecked(fd)? })
    }

    /// Waits until the clock shows `at` or later. Dropping the future cancels the wait.
    ///
    /// # Errors
    /// When the kernel refuses the timer.
    pub async fn until(&self, at: Timestamp) -> io::Result<()> {
        while self.clock.now() < at {
            let nanos = self.clock.on_host(at).as_nanos();
            let it_value = Timespec {
                tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: (nanos % 1_000_000_000) as i64,
            };
            let once = Itimerspec { it_interval: Timespec::default(), it_value };
            timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &once)?;
            self.fd.readable().await?;
            match self.fd.try_read(&mut [0; 8]) {
                Err(other) if other.kind() != io::ErrorKind::WouldBlock => return Err(other),
                // Gone off; or readable only because of an earlier time, which a new one has taken back.
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_wakes_at_the_instant_and_not_before() {
        let clock = Clock::System;
        let timer = Timer::new(clock.clone()).unwrap();
        let mut lags = Vec::new();
        for micros in [0, 300, 1_700, 5_300] {
            let at = clock.now() + Duration::from_micros(micros);
            timer.until(at).await.unwrap();
            lags.push(clock.now().micros_since(at));
        }
        assert!(lags.iter().all(|lag| *lag >= 0), "{lags:?}");
        timer.until(Timestamp::default()).await.unwrap();
    }
}
