//! Wakes tasks at a given nanosecond: the runtime's own timer counts milliseconds, which is more than a whole delivery
//! takes.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::io;
use std::task::Waker;

use super::clock::now_ns;
use alarm::Alarm;

/// The tasks of one thread that wait for their time.
#[derive(Debug)]
pub(super) struct Pacer {
    waiting: RefCell<BinaryHeap<Waiting>>,
    alarm: Alarm,
}

#[derive(Debug)]
struct Waiting {
    due_ns: u64,
    waker: Waker,
}

impl Pacer {
    /// For the runtime this is called in.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            waiting: RefCell::default(),
            alarm: Alarm::new()?,
        })
    }

    /// Wakes `waker` at `due_ns`, once.
    pub(super) fn wake_at(&self, due_ns: u64, waker: &Waker) -> io::Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        let is_first = waiting.peek().is_none_or(|first| due_ns < first.due_ns);
        waiting.push(Waiting {
            due_ns,
            waker: waker.clone(),
        });
        if is_first {
            self.alarm.set(due_ns)
        } else {
            Ok(())
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(&self) -> io::Result<Infallible> {
        loop {
            self.alarm.ring().await?;
            let mut waiting = self.waiting.borrow_mut();
            let now = now_ns();
            while let Some(first) = waiting.peek() {
                if first.due_ns > now {
                    self.alarm.set(first.due_ns)?;
                    break;
                }
                if let Some(first) = waiting.pop() {
                    first.waker.wake();
                }
            }
        }
    }
}

// The heap gives the greatest first, which is to be the earliest.
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due_ns.cmp(&self.due_ns)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.due_ns == other.due_ns
    }
}

impl Eq for Waiting {}

#[cfg(target_os = "linux")]
mod alarm {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use crate::commands::bench::clock::NS_PER_S;

    /// A timer of the kernel that the runtime waits for like for a socket.
    #[derive(Debug)]
    pub(super) struct Alarm(AsyncFd<OwnedFd>);

    impl Alarm {
        #[expect(
            deprecated,
            reason = "what took its place is an unsafe function, against values that close their descriptor early; an OwnedFd does not"
        )]
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            Ok(Self(AsyncFd::new(timerfd_create(
                TimerfdClockId::Monotonic,
                flags,
            )?)?))
        }

        #[expect(
            clippy::cast_possible_wrap,
            reason = "a monotonic clock does not reach 2^63 s"
        )]
        pub(super) fn set(&self, due_ns: u64) -> io::Result<()> {
            let time = Itimerspec {
                it_interval: Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: Timespec {
                    tv_sec: (due_ns / NS_PER_S) as i64,
                    tv_nsec: (due_ns % NS_PER_S) as i64,
                },
            };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &time)?;
            Ok(())
        }

        pub(super) async fn ring(&self) -> io::Result<()> {
            let mut expirations = [0; 8];
            loop {
                let mut ready = self.0.readable().await?;
                let read =
                    ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?));
                if let Ok(read) = read {
                    return read.map(drop);
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod alarm {
    use std::cell::Cell;
    use std::io;
    use std::time::Duration;

    use tokio::sync::Notify;

    use crate::commands::bench::clock::now_ns;

    /// The runtime's timer, in whole milliseconds.
    #[derive(Debug)]
    pub(super) struct Alarm {
        due_ns: Cell<u64>,
        changed: Notify,
    }

    impl Alarm {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self {
                due_ns: Cell::new(u64::MAX),
                changed: Notify::new(),
            })
        }

        pub(super) fn set(&self, due_ns: u64) -> io::Result<()> {
            self.due_ns.set(due_ns);
            self.changed.notify_one();
            Ok(())
        }

        pub(super) async fn ring(&self) -> io::Result<()> {
            loop {
                let wait = Duration::from_nanos(self.due_ns.get().saturating_sub(now_ns()));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {
                        self.due_ns.set(u64::MAX);
                        return Ok(());
                    }
                    () = self.changed.notified() => {}
                }
            }
        }
    }
}
