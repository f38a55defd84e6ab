//! Taints and tolerations, by the rules of the core API.

use std::fmt;

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the Kubernetes API's own names")]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    /// The effect that Kubernetes spells `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "NoSchedule" => Self::NoSchedule,
            "PreferNoSchedule" => Self::PreferNoSchedule,
            "NoExecute" => Self::NoExecute,
            _ => return None,
        })
    }

    /// As Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A mark on a node that repels pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// The taint's key.
    pub key: String,
    /// Its value, empty when none was given.
    pub value: String,
    /// What it does.
    pub effect: Effect,
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(f, "{}:{}", self.key, self.effect.as_str())
        } else {
            write!(f, "{}={}:{}", self.key, self.value, self.effect.as_str())
        }
    }
}

/// A pod's permission to ignore a taint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Toleration {
    /// The key tolerated; empty for every key (then `value` must be `None`).
    pub key: String,
    /// The value tolerated; `None` for operator `Exists`.
    pub value: Option<String>,
    /// The effect tolerated; `None` for every effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether this toleration covers `taint`.
    pub fn covers(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

/// The first taint that keeps a pod with `tolerations` away. A taint that only
/// asks for preference keeps nobody away.
pub fn first_untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    untolerated(taints, tolerations).find(|taint| taint.effect != Effect::PreferNoSchedule)
}

/// Every taint that none of `tolerations` covers, whatever its effect.
pub fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> impl Iterator<Item = &'a Taint> {
    taints.iter().filter(|taint| !tolerations.iter().any(|t| t.covers(taint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_cover_as_the_api_reference_says() {
        let taint = |effect| Taint { key: "team".into(), value: "ml".into(), effect };
        let toleration = |key: &str, value: Option<&str>, effect| Toleration {
            key: key.into(),
            value: value.map(Into::into),
            effect,
        };
        let hard = [taint(Effect::NoSchedule)];
        for (tolerations, admitted) in [
            (vec![], false),
            (vec![toleration("", None, None)], true),
            (vec![toleration("team", None, None)], true),
            (vec![toleration("team", Some("ml"), Some(Effect::NoSchedule))], true),
            (vec![toleration("team", Some("ml"), Some(Effect::NoExecute))], false),
            (vec![toleration("team", Some("web"), None)], false),
            (vec![toleration("other", None, None)], false),
        ] {
            assert_eq!(first_untolerated(&hard, &tolerations).is_none(), admitted, "{tolerations:?}");
        }
        assert!(first_untolerated(&[taint(Effect::PreferNoSchedule)], &[]).is_none());
    }
}
