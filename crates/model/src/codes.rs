//! Stable codes for everything that is refused, and their explanations.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $literal:literal, $summary:literal, $remedy:literal;)*) => {
        /// Why something was refused. The text form never changes meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each variant is explained by its summary")]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The literal that users see.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $literal,)* }
            }

            /// What it means.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    Taint = "NP-TAINT", "the pool's nodes carry a taint that the pod does not tolerate",
        "add a toleration to the pod, or use a pool without the taint";
    Selector = "NP-SELECTOR", "no launch of the pool has the labels that the pod's nodeSelector names",
        "change the nodeSelector, or widen the pool's requirements or labels";
    Affinity = "NP-AFFINITY", "no launch of the pool matches any term of the pod's required node affinity",
        "change the affinity, or widen the pool's requirements or labels";
    VolumeZone = "NP-VOLUME-ZONE", "a bound volume of the pod lives where the pool launches nothing",
        "let the pool launch in the volume's zone";
    VolumeClaim = "NP-VOLUME-CLAIM", "a claim of the pod is lost, missing, being deleted or not bound, so that no node can run it",
        "mend or recreate the claim";
    Resource = "NP-RESOURCE", "the pod asks for more than any allowed instance type has left beside its DaemonSets",
        "ask for less, or widen the pool's instance requirements";
    Limit = "NP-LIMIT", "the pool's limits leave no room for another node that would hold the pod",
        "raise spec.limits of the pool";
    NoTypes = "NP-NO-TYPES", "the pool's requirements admit no instance type that is sold in the chosen zones",
        "widen the pool's requirements, or choose other zones or capacity types";
    NoPool = "NP-NO-POOL", "there is no NodePool to launch from",
        "add a NodePool";
    NodeFull = "NP-NODE-FULL", "only existing nodes admit the pod and none has room left",
        "free or add such a node, or let a pool launch one";
    Spread = "NP-SPREAD", "a topology spread constraint leaves no domain that the pod could go to",
        "raise maxSkew, let pools launch in more domains, or use ScheduleAnyway";
    PodAffinity = "NP-POD-AFFINITY", "no node has room in a domain where the pods are that the pod must be near",
        "check the affinity's selector and topology key, or make room near those pods";
    PodAntiAffinity = "NP-POD-ANTI-AFFINITY", "every domain has pods that the pod must keep away from, or that keep it away",
        "let pools launch in more domains, or prefer instead of require";
    HostPort = "NP-HOST-PORT", "its host port is taken on every node it could be on",
        "use another port, or no host port";
    Effort = "NP-EFFORT", "the search ended before a place was found",
        "run again with more effort";
    ResourceClaims = "NP-DRA", "the pod uses Dynamic Resource Allocation, which is not planned for",
        "use extended resources for the device instead";

    InUnreadable = "IN-UNREADABLE", "a file could not be read", "check the path and its permissions";
    InTooLarge = "IN-TOO-LARGE", "a file is larger than is read", "split the file";
    InSyntax = "IN-SYNTAX", "a file is not well-formed", "correct the file at the place named";
    InEmpty = "IN-EMPTY", "a file holds nothing", "leave the file out, or fill it";
    InObject = "IN-OBJECT", "an object has a field of the wrong type or form", "correct the field named";
    InQuantity = "IN-QUANTITY", "a quantity is malformed, negative or absurdly large", "write it as 100m, 2, 1.5Gi";
    InDuplicate = "IN-DUPLICATE", "two objects of one kind have the same name", "remove one of them";
    InPool = "IN-POOL", "a NodePool contradicts itself or is beyond what can be planned", "correct its requirements";
    InCatalog = "IN-CATALOG", "the catalogue is malformed, empty or has no capacity", "correct the catalogue file";
    InPrice = "IN-PRICE", "a price is not a finite number between 0 and 1,000,000 dollars an hour", "correct the price";
    InRegion = "IN-REGION", "the region is unknown, or has no zones or prices", "choose another --region, or give --zones and --prices";
    InCsv = "IN-CSV", "a CSV file has a wrong header or row", "see the columns in `stowage plan --help`";
    InPlan = "IN-PLAN", "a plan file is not one of ours or names things that are not in the input",
        "make the plan again from the same input";
    InNumbers = "IN-NUMBERS", "the numbers of the input add up to more than can be counted", "check the quantities for slips";
}

impl Code {
    /// The code that is spelled `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code with what was found in this case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The code.
    pub code: Code,
    /// The pool or node concerned, where it is one.
    pub scope: Option<String>,
    /// What is missing, and the nearest miss.
    pub message: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_parse() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
        }
    }
}
