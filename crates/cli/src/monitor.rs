//! Progress on standard error, the clock, and Ctrl-C.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use stowage_model::{End, Price};
use stowage_solver::Monitor;

static INTERRUPTED: OnceLock<&'static AtomicBool> = OnceLock::new();

/// Asks for the best plan so far on the first Ctrl-C; the second ends the process.
pub(crate) fn catch_interrupts() -> &'static AtomicBool {
    INTERRUPTED.get_or_init(|| {
        let flag: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        flag
    })
}

/// Watches a search from a terminal.
pub(crate) struct Watch {
    started: Instant,
    limit: Option<Duration>,
    interrupted: &'static AtomicBool,
    last: Mutex<Option<Instant>>,
    verbose: bool,
}

const QUIET: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(500);

impl Watch {
    pub(crate) fn new(limit: Option<f64>, verbose: bool) -> Self {
        Self {
            started: Instant::now(),
            limit: limit.map(Duration::from_secs_f64),
            interrupted: catch_interrupts(),
            last: Mutex::new(None),
            verbose,
        }
    }
}

impl Watch {
    /// Whether the user said stop.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Monitor for Watch {
    fn stop(&self) -> Option<End> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Some(End::Interrupted);
        }
        self.limit.filter(|limit| self.started.elapsed() >= *limit).map(|_| End::TimeLimit)
    }

    fn progress(&self, stage: &str, incumbent: Option<Price>, bound: Price) {
        let now = Instant::now();
        let Ok(mut last) = self.last.lock() else { return };
        let early = now - self.started < QUIET || last.is_some_and(|before| now - before < EVERY);
        if early && !self.verbose {
            return;
        }
        *last = Some(now);
        let gap = match incumbent {
            Some(price) if bound > Price::ZERO => {
                format!(", gap {:.2} %", (price.dollars() / bound.dollars() - 1.0).max(0.0) * 100.0)
            }
            _ => String::new(),
        };
        let price = incumbent.map_or_else(|| "none yet".to_owned(), |price| price.to_string());
        let mut out = std::io::stderr().lock();
        let seconds = (now - self.started).as_secs_f64();
        let text = format!("{seconds:6.2}s {stage}: best {price}/h, bound {bound}/h{gap}");
        // A terminal's line is overwritten; a log gets lines.
        let _ =
            if out.is_terminal() && !self.verbose { write!(out, "\r\x1b[K{text}") } else { writeln!(out, "{text}") };
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let shown = self.last.lock().is_ok_and(|last| last.is_some());
        let mut out = std::io::stderr();
        if shown && out.is_terminal() {
            let _ = write!(out, "\r\x1b[K");
        }
    }
}
