//! Lets pods onto the nodes that were planned for them, wave by wave; who is due,
//! [`steering`](crate::steering) decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use stowage_k8s::pod::is_waiting;
use tracing::warn;

use crate::context::{Context, locked};
use crate::steering;
use crate::view::is;

/// Runs until it is dropped.
pub async fn run(ctx: Arc<Context>) {
    let mut changes = ctx.state.changes();
    loop {
        let view = ctx.state.view();
        let waiting: BTreeMap<&str, &Arc<Pod>> = view
            .pods
            .iter()
            .filter(|pod| is_waiting(pod))
            .filter_map(|pod| Some((pod.metadata.uid.as_deref()?, pod)))
            .collect();
        let due: Vec<(String, String)> = {
            let planned = locked(&ctx.planned);
            let uids = waiting.keys().copied().collect();
            let registered = view.claims.iter().filter(|(_, claim)| is(claim, "Registered"));
            let joined = registered.map(|(name, _)| name.as_str()).collect();
            let token = |uid: String| Some((planned.get(&uid)?.token.clone()?, uid));
            steering::due(&planned, &uids, &joined).into_iter().filter_map(token).collect()
        };
        let mut calls = futures::stream::FuturesUnordered::new();
        for (token, uid) in due {
            let Some(pod) = waiting.get(uid.as_str()) else { continue };
            let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &pod.namespace().unwrap_or_default());
            let (patch, name) = (steering::invitation(pod, &token), pod.name_any());
            let known = steering::tolerated(pod).any(|known| known == token);
            calls.push(async move {
                if known {
                    return (uid, name, Ok(()));
                }
                let answer = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
                (uid, name, answer.map(|_| ()))
            });
        }
        while let Some((uid, name, answer)) = futures::StreamExt::next(&mut calls).await {
            match answer {
                Ok(()) => {
                    if let Some(place) = locked(&ctx.planned).get_mut(&uid) {
                        place.invited = true;
                    }
                }
                // Somebody else wrote first, or the pod is gone: the watch will tell.
                Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {}
                Err(error) => warn!(pod = %name, %error, "a pod was not let onto its node; it is tried again"),
            }
        }
        crate::wait_for_change(&mut changes).await;
    }
}
