//! When pending pods are planned: a window opens with the first pod and closes
//! once no new one has come for a while, or when it has been open long enough.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

/// How long pods are gathered.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Closes the window when no new pod came for so long.
    pub idle: Duration,
    /// Closes it whatever comes.
    pub most: Duration,
    /// Pods that found no place are tried again after so long.
    pub retry: Duration,
}

/// Pods being gathered.
#[derive(Debug)]
pub struct Window {
    rhythm: Rhythm,
    opened: Option<Instant>,
    last_new: Option<Instant>,
    known: BTreeSet<String>,
    /// Pods of the last pass, which alone do not open a window, and until when.
    tried: BTreeSet<String>,
    rested: Option<Instant>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing waits.
    Idle,
    /// Look again then.
    Wait(Instant),
    /// Plan.
    Close,
}

impl Window {
    /// A window that is not open.
    pub fn new(rhythm: Rhythm) -> Self {
        Self { rhythm, opened: None, last_new: None, known: BTreeSet::new(), tried: BTreeSet::new(), rested: None }
    }

    /// Tells which pods wait now.
    pub fn look(&mut self, waiting: &BTreeSet<String>, now: Instant) -> Turn {
        let rested = self.rested.is_none_or(|until| until <= now);
        if waiting.is_empty() {
            (self.opened, self.last_new) = (None, None);
            self.known.clear();
            return Turn::Idle;
        }
        if self.opened.is_none() && !rested && waiting.is_subset(&self.tried) {
            return self.rested.map_or(Turn::Idle, Turn::Wait);
        }
        let new = waiting.iter().any(|pod| !self.known.contains(pod));
        if new {
            self.last_new = Some(now);
            self.known.extend(waiting.iter().cloned());
        }
        let opened = *self.opened.get_or_insert(now);
        let quiet = self.last_new.unwrap_or(opened) + self.rhythm.idle;
        let close = quiet.min(opened + self.rhythm.most);
        if close > now {
            return Turn::Wait(close);
        }
        self.tried.clone_from(waiting);
        self.rested = Some(now + self.rhythm.retry);
        (self.opened, self.last_new) = (None, None);
        self.known.clear();
        Turn::Close
    }

    /// Something changed that may give tried pods a place.
    pub fn stir(&mut self) {
        self.rested = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn window() -> (Window, Instant) {
        let second = Duration::from_secs(1);
        (Window::new(Rhythm { idle: second, most: second * 3, retry: second * 10 }), Instant::now())
    }

    #[test]
    fn closes_when_no_new_pod_comes() {
        let (mut window, start) = window();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(window.look(&pods(&["a"]), at(0)), Turn::Wait(at(1000)));
        assert_eq!(window.look(&pods(&["a"]), at(500)), Turn::Wait(at(1000)));
        assert_eq!(window.look(&pods(&["a", "b"]), at(900)), Turn::Wait(at(1900)));
        assert_eq!(window.look(&pods(&["a", "b"]), at(1900)), Turn::Close);
    }

    #[test]
    fn new_pods_extend_it_only_so_far() {
        let (mut window, start) = window();
        let at = |millis| start + Duration::from_millis(millis);
        let mut all = BTreeSet::new();
        for step in 0..6_u64 {
            all.insert(format!("pod-{step}"));
            assert_ne!(window.look(&all, at(step * 500)), Turn::Close);
        }
        all.insert("late".to_owned());
        assert_eq!(window.look(&all, at(3000)), Turn::Close);
    }

    #[test]
    fn pods_without_a_place_rest_unless_somebody_new_comes_or_something_changes() {
        let (mut window, start) = window();
        let at = |millis| start + Duration::from_millis(millis);
        window.look(&pods(&["a"]), at(0));
        assert_eq!(window.look(&pods(&["a"]), at(1000)), Turn::Close);
        assert_eq!(window.look(&pods(&["a"]), at(1001)), Turn::Wait(at(11000)));
        assert_eq!(window.look(&pods(&["a", "b"]), at(2000)), Turn::Wait(at(3000)));
        assert_eq!(window.look(&pods(&["a", "b"]), at(3000)), Turn::Close);
        window.stir();
        assert_eq!(window.look(&pods(&["a"]), at(4000)), Turn::Wait(at(5000)));
    }

    #[test]
    fn nothing_waiting_closes_nothing() {
        let (mut window, start) = window();
        window.look(&pods(&["a"]), start);
        assert_eq!(window.look(&pods(&[]), start + Duration::from_secs(5)), Turn::Idle);
    }
}
