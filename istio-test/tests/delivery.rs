//! Real istiod, Istio's agent and a real Envoy: the project's own manifests bring the filter to every kind of port.

use plainsight_integration::callers::Caller;
use plainsight_integration::eventually::eventually;
use plainsight_istio_test::mesh::{LabelList, Mesh, Port};
use plainsight_istio_test::repository::root;

#[tokio::test]
async fn the_overlay_of_one_workload_brings_the_filter_to_every_kind_of_port() {
    let mut mesh = Mesh::start().await.unwrap();
    let sidecar = mesh.start_sidecar(LabelList::Stock).await.unwrap();
    assert_eq!(
        mesh.scrape()
            .await
            .unwrap()
            .count("plainsight_build_info", &[]),
        0
    );
    let overlay = mesh
        .overlay(&root().join("envoy-config/istio/overlays/workload"))
        .unwrap();
    mesh.kubernetes.apply(&overlay).unwrap();
    eventually("the filter", || async {
        for port in Port::ALL {
            let caller = Caller::http1("10.77.0.1");
            mesh.call(&caller, port.address()).await?;
        }
        let scrape = mesh.scrape().await?;
        for port in Port::ALL {
            let number = port.number().to_string();
            anyhow::ensure!(
                scrape.sum(
                    "plainsight_connections_total",
                    &[("peer", "plaintext"), ("destination_port", &number)]
                ) >= 1.0,
                "no connection on {port:?}: {:#?}",
                scrape.plainsight()
            );
        }
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}\n{}", sidecar.log()));
}
