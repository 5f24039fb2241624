{{- define "plainsight.labels" -}}
app.kubernetes.io/name: plainsight
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The image by digest. A chart without one would install plugins that no sidecar can fetch. */}}
{{- define "plainsight.image" -}}
{{- $how := "run `make image`, push what it builds, and set" -}}
{{- with .Values.image -}}
{{- if not .repository }}{{ fail (printf "image.repository: not set: %s image.repository to where you pushed it" $how) }}{{ end -}}
{{- if not .digest }}{{ fail (printf "image.digest: not set: %s image.digest to the digest that it prints" $how) }}{{ end -}}
{{- if regexMatch "^sha256:0+$" .digest }}{{ fail (printf "image.digest: all zeros are no image: %s image.digest to the digest that it prints" $how) }}{{ end -}}
oci://{{ .repository }}@{{ .digest }}
{{- end }}
{{- end }}

{{/* One configuration for both plugins: plugins with the same bytes share one VM, and a connection has one verdict. */}}
{{- define "plainsight.pluginConfig" -}}
{{- $config := deepCopy .Values.config -}}
{{- range $key := list "requestHeader" "responseHeader" -}}
{{- if and (hasKey $config $key) (not (get $config $key)) }}{{ $_ := set $config $key nil }}{{ end -}}
{{- end -}}
{{- with .Values.exemptions }}{{ $_ := set $config "exempt" . }}{{ end -}}
{{- toYaml $config -}}
{{- end }}

{{/* A file of the repository that the chart carries: a link there, a copy in the package. */}}
{{- define "plainsight.file" -}}
{{- $text := .files.Get (printf "files/%s" .name) -}}
{{- if not $text }}{{ fail (printf "files/%s: not in this chart: package it with `make chart`" .name) }}{{ end -}}
{{- $text -}}
{{- end }}

{{/* relabel_configs as Prometheus spells them, in the operator's spelling. */}}
{{- define "plainsight.relabelings" -}}
{{- $relabelings := list -}}
{{- range . -}}
{{- $one := dict -}}
{{- range $key, $value := . }}{{ $_ := set $one (camelcase $key | untitle) $value }}{{ end -}}
{{- $relabelings = append $relabelings $one -}}
{{- end -}}
{{- toYaml $relabelings -}}
{{- end }}
