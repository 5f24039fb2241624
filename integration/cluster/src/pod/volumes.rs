//! The volumes of a container, written below its root as a kubelet mounts them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use super::container::field;
use crate::cluster::Cluster;

/// Writes every volume that the container mounts.
pub(super) async fn mount(
    cluster: &Cluster,
    pod: &Value,
    container: &Value,
    root: &Path,
) -> anyhow::Result<()> {
    let volumes = pod["spec"]["volumes"].as_array();
    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
        let path = mount["mountPath"].as_str().unwrap_or_default();
        let target = root.join(path.trim_start_matches('/'));
        let volume = volumes
            .into_iter()
            .flatten()
            .find(|volume| volume["name"] == mount["name"])
            .with_context(|| format!("volume {}: not in the pod", mount["name"]))?;
        // One file of a Secret or a ConfigMap; a folder of an empty volume is as good as the volume.
        let file = mount["subPath"]
            .as_str()
            .filter(|_| volume["emptyDir"].is_null());
        let place = match file {
            Some(_) => root
                .join("volumes")
                .join(volume["name"].as_str().unwrap_or_default()),
            None => target.clone(),
        };
        std::fs::create_dir_all(&place)?;
        // As an emptyDir: any user may write.
        std::fs::set_permissions(&place, Permissions::from_mode(0o777))?;
        fill(cluster, pod, volume, &place)
            .await
            .with_context(|| format!("volume {}", mount["name"]))?;
        if let Some(file) = file {
            std::fs::create_dir_all(target.parent().context("mountPath: the root")?)?;
            std::fs::copy(place.join(file), target)?;
        }
    }
    Ok(())
}

async fn fill(cluster: &Cluster, pod: &Value, volume: &Value, place: &Path) -> anyhow::Result<()> {
    let sources = match volume["projected"]["sources"].as_array() {
        Some(sources) => sources.iter().collect(),
        None => vec![volume],
    };
    for source in sources {
        let keys = source.as_object().context("no object")?;
        for (kind, source) in keys.iter().filter(|(kind, _)| *kind != "name") {
            match kind.as_str() {
                "emptyDir" => {}
                "serviceAccountToken" => {
                    let path = source["path"].as_str().context("no path")?;
                    let audience = source["audience"].as_str();
                    let token = cluster.token(pod, audience).await?;
                    std::fs::write(place.join(path), token)?;
                }
                "downwardAPI" => {
                    for item in source["items"].as_array().into_iter().flatten() {
                        let path = item["path"].as_str().context("no path")?;
                        let from = item["fieldRef"]["fieldPath"].as_str().context("no field")?;
                        std::fs::write(place.join(path), field(pod, from)?)?;
                    }
                }
                "configMap" | "secret" => {
                    let name = source["name"].as_str().or(source["secretName"].as_str());
                    let optional = source["optional"] == true;
                    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
                    let name = name.context("no name")?;
                    cluster
                        .write_files(kind, namespace, name, optional, place)
                        .await?;
                }
                _ => bail!("not supported: {kind}"),
            }
        }
    }
    Ok(())
}
