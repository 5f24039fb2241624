# The image that Istio's agent fetches, and what is in the module.

.PHONY: image
image: $(WASM) ## build the OCI image, dist/image, without a daemon; prints its digest
	@tools/setup apt umoci skopeo
	@digest=$$(tools/image/build $(WASM) dist/image); echo "$$digest" >dist/image.digest; \
	echo "image: dist/image: $$digest"; \
	echo "image: push it: skopeo copy oci:dist/image:plainsight docker://REGISTRY/plainsight:VERSION"

.PHONY: test-image
test-image: $(WASM)
	@tools/setup apt docker-registry umoci skopeo
	PLAINSIGHT_WASM=$(WASM) python3 tools/image/test_image.py

.PHONY: sbom
sbom: ## list the module's crates and licences: dist/sbom.cdx.json (CycloneDX)
	@cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-cyclonedx --version 0.5.9
	@cargo cyclonedx --quiet --format json --target wasm32-unknown-unknown --override-filename sbom.cdx
	@mkdir -p dist && mv sbom.cdx.json dist/sbom.cdx.json && git clean --quiet --force -- '*/sbom.cdx.json'
	@echo "sbom: dist/sbom.cdx.json: $$(grep -c '"purl"' dist/sbom.cdx.json) packages"
