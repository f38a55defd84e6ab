//! One requirement on one label: the set of values, or absence, that it admits.
//!
//! Every selector, affinity expression and NodePool requirement reduces to this
//! little algebra. Karpenter keeps values, a complement flag and bounds; here
//! absence is a flag of its own, because `Exists` and `NotIn []` differ in
//! nothing else and kube-scheduler does tell them apart.

use std::collections::BTreeSet;
use std::fmt;

/// The operators of node selector requirements. `Gte` and `Lte` are Karpenter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the Kubernetes API's own names")]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    Gte,
    Lte,
}

impl Operator {
    /// The operator that Kubernetes spells `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::Gt,
            "Lt" => Self::Lt,
            "Gte" => Self::Gte,
            "Lte" => Self::Lte,
            _ => return None,
        })
    }
}

/// The values of a label that are admitted, and whether its absence is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// Whether a node without the label is admitted.
    absent: bool,
    /// Whether `values` are those refused rather than those admitted.
    complement: bool,
    values: BTreeSet<String>,
    at_least: Option<i64>,
    at_most: Option<i64>,
    /// How many distinct values a NodeClaim must keep open.
    pub min_values: Option<u32>,
}

impl Requirement {
    /// The requirement that an operator and its values state. `None` where a
    /// numeric operator has no single integer, or `In` has no value.
    pub fn new<S: Into<String>>(operator: Operator, values: impl IntoIterator<Item = S>) -> Option<Self> {
        let values: BTreeSet<String> = values.into_iter().map(Into::into).collect();
        let number = || -> Option<i64> {
            let mut all = values.iter();
            let first = all.next()?.parse().ok()?;
            all.next().is_none().then_some(first)
        };
        Some(match operator {
            Operator::In if values.is_empty() => return None,
            Operator::In => Self::set(false, values),
            Operator::NotIn => Self { absent: true, ..Self::set(true, values) },
            Operator::Exists => Self::set(true, BTreeSet::new()),
            Operator::DoesNotExist => Self { absent: true, ..Self::set(false, BTreeSet::new()) },
            Operator::Gt => match number()?.checked_add(1) {
                Some(least) => Self { at_least: Some(least), ..Self::set(true, BTreeSet::new()) },
                None => Self::set(false, BTreeSet::new()),
            },
            Operator::Lt => match number()?.checked_sub(1) {
                Some(most) => Self { at_most: Some(most), ..Self::set(true, BTreeSet::new()) },
                None => Self::set(false, BTreeSet::new()),
            },
            Operator::Gte => Self { at_least: Some(number()?), ..Self::set(true, BTreeSet::new()) },
            Operator::Lte => Self { at_most: Some(number()?), ..Self::set(true, BTreeSet::new()) },
        })
    }

    /// Exactly `value`.
    pub fn exactly(value: &str) -> Self {
        Self::set(false, BTreeSet::from([value.to_owned()]))
    }

    fn set(complement: bool, values: BTreeSet<String>) -> Self {
        Self { absent: false, complement, values, at_least: None, at_most: None, min_values: None }
    }

    /// Whether a node whose label is `value` (absent: `None`) is admitted.
    pub fn admits(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return self.absent };
        if self.values.contains(value) == self.complement {
            return false;
        }
        if self.at_least.is_none() && self.at_most.is_none() {
            return true;
        }
        value.parse::<i64>().is_ok_and(|number| {
            self.at_least.is_none_or(|least| number >= least) && self.at_most.is_none_or(|most| number <= most)
        })
    }

    /// What both admit.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let at_least = self.at_least.max(other.at_least);
        let at_most = match (self.at_most, other.at_most) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let crossed = matches!((at_least, at_most), (Some(least), Some(most)) if least > most);
        let complement = self.complement && other.complement && !crossed;
        let values = if crossed {
            BTreeSet::new()
        } else if complement {
            self.values.union(&other.values).cloned().collect()
        } else {
            let concrete = if self.complement { &other.values } else { &self.values };
            concrete.iter().filter(|v| self.admits(Some(v)) && other.admits(Some(v))).cloned().collect()
        };
        Self {
            absent: self.absent && other.absent,
            complement,
            values,
            at_least: at_least.filter(|_| complement),
            at_most: at_most.filter(|_| complement),
            min_values: self.min_values.max(other.min_values),
        }
    }

    /// Whether nothing at all is admitted. Open sets count as admitting
    /// something: labels have more values than anybody can exclude.
    pub fn is_empty(&self) -> bool {
        !self.absent && !self.complement && self.values.is_empty()
    }

    /// The admitted values where they are a finite list.
    pub fn listed(&self) -> Option<&BTreeSet<String>> {
        (!self.complement).then_some(&self.values)
    }

    /// Values that the requirement names, admitted or refused.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }

    /// Whether a label must be present.
    pub fn needs_presence(&self) -> bool {
        !self.absent
    }

    /// A value that is admitted, for labels on which any will do. Bounds give
    /// their nearest number; an open set gives a word nobody excluded.
    pub fn any_value(&self) -> Option<String> {
        if !self.complement {
            return self.values.first().cloned();
        }
        if self.at_least.is_none() && self.at_most.is_none() {
            let word = std::iter::once("any".to_owned()).chain((1..).map(|n| format!("any-{n}")));
            return word.take(self.values.len() + 1).find(|w| !self.values.contains(w));
        }
        let from = self.at_least.or(self.at_most)?;
        let step = if self.at_least.is_some() { 1 } else { -1 };
        (0..=self.values.len() as i64)
            .filter_map(|n| from.checked_add(n.checked_mul(step)?))
            .map(|n| n.to_string())
            .find(|v| self.admits(Some(v)))
    }

    /// The requirement as operator and values, as a NodeClaim spells it. Two
    /// bounds need two entries.
    pub fn spelled(&self) -> Vec<(&'static str, Vec<String>)> {
        if !self.complement {
            let operator = if self.values.is_empty() { "DoesNotExist" } else { "In" };
            return vec![(operator, self.values.iter().cloned().collect())];
        }
        let mut entries = Vec::new();
        if let Some(least) = self.at_least {
            entries.push(("Gte", vec![least.to_string()]));
        }
        if let Some(most) = self.at_most {
            entries.push(("Lte", vec![most.to_string()]));
        }
        if !self.values.is_empty() {
            entries.push(("NotIn", self.values.iter().cloned().collect()));
        }
        if entries.is_empty() && !self.absent {
            entries.push(("Exists", Vec::new()));
        }
        entries
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .spelled()
            .into_iter()
            .map(|(operator, values)| match values.len() {
                0 => operator.to_owned(),
                1..=6 => format!("{operator} [{}]", values.join(", ")),
                more => format!("{operator} [{}, … {more} values]", values[..4].join(", ")),
            })
            .collect();
        f.write_str(&parts.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn operator() -> impl Strategy<Value = Operator> {
        use Operator::*;
        prop::sample::select(vec![In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte, Lte])
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        (operator(), prop::collection::vec(0..6i64, 0..4)).prop_filter_map("no such requirement", |(op, values)| {
            let values = values.iter().map(i64::to_string);
            match op {
                Operator::In | Operator::NotIn => Requirement::new(op, values),
                Operator::Exists | Operator::DoesNotExist => Requirement::new(op, Vec::<String>::new()),
                _ => Requirement::new(op, values.take(1)),
            }
        })
    }

    fn domain() -> impl Iterator<Item = Option<String>> {
        (-1..7i64).map(|n| Some(n.to_string())).chain([Some("word".to_owned()), None])
    }

    proptest! {
        #[test]
        fn an_intersection_admits_what_both_admit(a in requirement(), b in requirement()) {
            let both = a.intersect(&b);
            for value in domain() {
                let value = value.as_deref();
                prop_assert_eq!(both.admits(value), a.admits(value) && b.admits(value), "{:?}", value);
            }
        }

        #[test]
        fn an_empty_requirement_admits_nothing(a in requirement(), b in requirement()) {
            let both = a.intersect(&b);
            if both.is_empty() {
                prop_assert!(domain().all(|v| !both.admits(v.as_deref())));
            }
        }

        #[test]
        fn any_value_is_admitted(a in requirement(), b in requirement()) {
            let both = a.intersect(&b);
            if let Some(value) = both.any_value() {
                prop_assert!(both.admits(Some(&value)));
            }
        }
    }

    #[test]
    fn absence_is_told_apart() {
        let not_in = Requirement::new(Operator::NotIn, ["a"]).unwrap();
        let exists = Requirement::new(Operator::Exists, Vec::<String>::new()).unwrap();
        assert!(not_in.admits(None) && !exists.admits(None));
        assert!(!not_in.intersect(&exists).admits(None));
        assert!(Requirement::new(Operator::Gt, ["4"]).is_some_and(|r| !r.admits(None) && r.admits(Some("5"))));
        assert!(Requirement::new(Operator::Gt, ["x"]).is_none());
        assert!(Requirement::new(Operator::In, Vec::<String>::new()).is_none());
    }
}
