# The image that Istio's agent fetches: tools/image/build says how it is made.

.PHONY: image
image: $(WASM) ## build the OCI image, dist/image, without a daemon; prints its digest
	@digest=$$(tools/image/build $(WASM) dist/image); echo "$$digest" >dist/image.digest; \
	echo "image: dist/image: $$digest"; \
	echo "image: push it: skopeo copy oci:dist/image:plainsight docker://REGISTRY/plainsight:VERSION"

.PHONY: test-image
test-image: $(WASM) ## the image through a real registry, pulled back by digest (needs docker-registry, skopeo)
	@tools/setup apt docker-registry skopeo
	PLAINSIGHT_WASM=$(WASM) python3 tools/image/test_image.py
