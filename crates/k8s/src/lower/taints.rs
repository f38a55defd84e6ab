//! Taints and tolerations.

use k8s_openapi::api::core::v1 as core;
use stowage_model::{Code, Effect, Taint, Toleration};

use crate::error::FieldError;

/// A list of taints.
pub(crate) fn taints(list: &[core::Taint], field: &str) -> Result<Vec<Taint>, FieldError> {
    list.iter()
        .enumerate()
        .map(|(index, taint)| {
            let effect = Effect::parse(&taint.effect).ok_or_else(|| {
                let message = format!("effect {:?} is none of NoSchedule, PreferNoSchedule, NoExecute", taint.effect);
                FieldError::new(Code::InObject, format!("{field}[{index}]"), message)
            })?;
            Ok(Taint { key: taint.key.clone(), value: taint.value.clone().unwrap_or_default(), effect })
        })
        .collect()
}

/// A list of tolerations, in a canonical order.
pub(crate) fn tolerations(list: &[core::Toleration]) -> Result<Vec<Toleration>, FieldError> {
    let mut all: Vec<Toleration> = list
        .iter()
        .enumerate()
        .map(|(index, toleration)| {
            let refuse =
                |message: String| FieldError::new(Code::InObject, format!("spec.tolerations[{index}]"), message);
            let key = toleration.key.clone().unwrap_or_default();
            let value = match toleration.operator.as_deref() {
                Some("Exists") => None,
                None | Some("Equal" | "") if key.is_empty() => {
                    return Err(refuse("an empty key needs operator Exists".to_owned()));
                }
                None | Some("Equal" | "") => Some(toleration.value.clone().unwrap_or_default()),
                Some(other) => return Err(refuse(format!("operator {other:?} is neither Exists nor Equal"))),
            };
            let effect = match toleration.effect.as_deref() {
                None | Some("") => None,
                Some(text) => Some(Effect::parse(text).ok_or_else(|| refuse(format!("effect {text:?} is unknown")))?),
            };
            Ok(Toleration { key, value, effect })
        })
        .collect::<Result<_, _>>()?;
    all.sort();
    all.dedup();
    Ok(all)
}
