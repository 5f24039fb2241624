-- The simple alternative to plainsight: it reads the TLS state and the User-Agent, sets the same header and counts
-- nothing. It omits the caller's address and name, so it does less than plainsight.
function envoy_on_request(handle)
  local headers = handle:headers()
  local tls = handle:streamInfo():downstreamSslConnection()
  local agent = headers:get("user-agent")
  local peer = "plaintext;strict=reject"
  if tls ~= nil and tls:peerCertificatePresented() then
    peer = "mutual_tls;strict=allow"
  elseif agent ~= nil and agent:find("kube-probe/", 1, true) == 1 then
    peer = "plaintext;strict=reject;traffic=probe"
  end
  headers:replace("x-plainsight-peer", peer)
end
