{{- define "andon.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* Labels of one component: (dict "root" $ "component" "inspect") */ -}}
{{- define "andon.labels" -}}
app.kubernetes.io/name: andon
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "andon.meta" -}}
{{ include "andon.labels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "andon.pod-security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "andon.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What a process is told, with the secrets of its role alone: (dict "root" $ "role" "inspect") */ -}}
{{- define "andon.env" -}}
{{- $root := .root }}{{- $v := .root.Values }}
- name: ANDON_KAFKA__BOOTSTRAP_SERVERS
  value: {{ printf "%s-kafka-bootstrap:%d" $v.kafka.cluster (int $v.kafka.port) | quote }}
{{- if $v.kafka.users }}
- name: ANDON_KAFKA__SECURITY_PROTOCOL
  value: SASL_SSL
- name: ANDON_KAFKA__CA_FILE
  value: /etc/andon/kafka-ca/ca.crt
- name: ANDON_KAFKA__USERNAME
  value: andon-{{ .role }}
- name: ANDON_KAFKA__PASSWORD
  valueFrom: {secretKeyRef: {name: andon-{{ .role }}, key: password}}
{{- end }}
- name: ANDON_KAFKA__REPLICATION_FACTOR
  value: "3"
- name: ANDON_KAFKA__MIN_INSYNC_REPLICAS
  value: "2"
{{- if has .role (list "record" "console") }}
{{ include "andon.postgres-env" . }}
{{- end }}
{{- if has .role (list "gateway" "inspect" "classify" "record" "console") }}
{{ include "andon.store-env" $root }}
{{- end }}
{{- if has .role (list "inspect" "classify" "console") }}
- name: ANDON_SERVE__INGRESS
  value: {{ printf "%s-ingress:16380" $root.Release.Name | quote }}
- name: ANDON_SERVE__TOKEN_FILE
  value: /etc/andon/ray/auth_token
{{- end }}
{{ include "andon.settings-env" $v.settings }}
{{ include "andon.secrets-env" (get ($v.secrets | default dict) .role) }}
{{- end }}

{{- /* Settings that stand in secrets, by their names. */ -}}
{{- define "andon.secrets-env" -}}
{{- range $name, $from := . | default dict }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $from.name }}, key: {{ $from.key }}}}
{{- end }}
{{- end }}

{{- /* The secrets that this role has as folders, as mounts and as volumes. */ -}}
{{- define "andon.files-mounts" -}}
{{- range get (.root.Values.files | default dict) .role | default list }}
- {name: files-{{ . }}, mountPath: /etc/andon/files/{{ . }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "andon.files-volumes" -}}
{{- range get (.root.Values.files | default dict) .role | default list }}
- name: files-{{ . }}
  secret: {secretName: {{ . }}}
{{- end }}
{{- end }}

{{- /* The database's address for a role: a login of its own where postgres.keys names one. */ -}}
{{- define "andon.postgres-env" -}}
{{- $postgres := .root.Values.postgres }}
- name: ANDON_POSTGRES__URL
  valueFrom: {secretKeyRef: {name: {{ $postgres.urlSecret.name }}, key: {{ get ($postgres.keys | default dict) .role | default $postgres.urlSecret.key }}}}
{{- end }}

{{- define "andon.settings-env" -}}
{{- range $name, $value := . | default dict }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- /* Where Prometheus looks: (list $ "WORKER") */ -}}
{{- define "andon.metrics-env" -}}
- name: ANDON_{{ index . 1 }}__METRICS_PORT
  value: {{ (index . 0).Values.metricsPort | quote }}
- name: ANDON_{{ index . 1 }}__METRICS_HOST
  value: 0.0.0.0
{{- end }}

{{- /* A gateway of the values. */ -}}
{{- define "andon.gateway-env" -}}
- name: ANDON_GATEWAY__LINE
  value: {{ .line | quote }}
- name: ANDON_GATEWAY__STATION
  value: {{ .station | quote }}
- name: ANDON_GATEWAY__PLC_URL
  value: {{ .plcUrl | quote }}
- name: ANDON_GATEWAY__CAMERA
  value: {{ .camera | quote }}
{{- end }}

{{- /* Variables of several lists, each once: the last says it. Of a name that stands twice Kubernetes
       keeps neither once one of the two is taken away, and server-side apply refuses it. */ -}}
{{- define "andon.once" -}}
{{- $names := list }}{{- $last := dict }}
{{- range join "\n" . | fromYamlArray }}
{{- $names = append $names .name }}{{- $_ := set $last .name . }}
{{- end }}
{{- $rows := list }}
{{- range $names | uniq }}{{- $rows = append $rows (get $last .) }}{{- end }}
{{- toYaml $rows }}
{{- end }}

{{- define "andon.store-env" -}}
- name: ANDON_S3__ENDPOINT
  value: {{ .Values.s3.endpoint | quote }}
- name: ANDON_S3__SECURE
  value: {{ .Values.s3.secure | quote }}
- name: ANDON_S3__REGION
  value: {{ .Values.s3.region | quote }}
- name: ANDON_S3__BUCKET
  value: {{ .Values.s3.bucket | quote }}
- name: ANDON_S3__ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.s3.keySecret.name }}, key: {{ .Values.s3.keySecret.accessKey }}}}
- name: ANDON_S3__SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.s3.keySecret.name }}, key: {{ .Values.s3.keySecret.secretKey }}}}
- name: ANDON_PATHS__ARTIFACTS
  value: s3://{{ .Values.s3.bucket }}/artifacts
- name: ANDON_PATHS__EXEMPLARS
  value: s3://{{ .Values.s3.bucket }}/exemplars
{{- end }}

{{- /* As "andon.env", (dict "root" $ "role" "inspect") */ -}}
{{- define "andon.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: state, mountPath: /var/lib/andon}
{{- if has .role (list "inspect" "classify" "console") }}
- {name: ray-token, mountPath: /etc/andon/ray, readOnly: true}
{{- end }}
{{- if .root.Values.kafka.users }}
- {name: kafka-ca, mountPath: /etc/andon/kafka-ca, readOnly: true}
{{- end }}
{{ include "andon.files-mounts" . }}
{{- end }}

{{- define "andon.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- if has .role (list "inspect" "classify" "console") }}
- name: ray-token
  secret: {secretName: {{ .root.Values.ray.tokenSecret.name }}}
{{- end }}
{{- if .root.Values.kafka.users }}
- name: kafka-ca
  secret: {secretName: {{ .root.Values.kafka.cluster }}-cluster-ca-cert}
{{- end }}
{{ include "andon.files-volumes" . }}
{{- end }}

{{- /* What Serve is deployed from. */ -}}
{{- define "andon.serve-file" -}}
{{ .Files.Get (ternary "files/serve-gpu.yaml" "files/serve.yaml" (gt (int .Values.ray.workers.gpus) 0)) }}
{{- end }}

{{- /* The port of an address, with or without a scheme: (list "minio:9000" 443) */ -}}
{{- define "andon.port-of" -}}
{{- $named := regexFind ":[0-9]+" (regexReplaceAll "^[a-z0-9+.-]+://" (index . 0) "") | trimPrefix ":" }}
{{- $named | default (index . 1) }}
{{- end }}

{{- /* The ports on which pods call what is not of this release, with a blank between them. */ -}}
{{- define "andon.called-ports" -}}
{{- $ports := list (.Values.kafka.port | toString) }}
{{- $ports = append $ports (include "andon.port-of" (list .Values.s3.endpoint (ternary "443" "80" .Values.s3.secure))) }}
{{- with get .Values.settings "ANDON_TRACING__OTLP_ENDPOINT" }}
{{- $ports = append $ports (include "andon.port-of" (list . (ternary "443" "80" (hasPrefix "https" .)))) }}
{{- end }}
{{- with get .Values.settings "ANDON_MQTT__URL" }}
{{- $ports = append $ports (include "andon.port-of" (list . (ternary "8883" "1883" (hasPrefix "mqtts" .)))) }}
{{- end }}
{{- /* single sign-on, the webhook, and language models: of the settings, and of the file of Serve */ -}}
{{- $texts := regexFindAll "base_url[\"']?\\s*:\\s*[\"']?[^\"'\\s,}]+" (include "andon.serve-file" .) -1 }}
{{- range $name, $value := .Values.settings }}
{{- if and (regexMatch "^ANDON_(OIDC|WEBHOOK|CLASSIFIER)" $name) (ne $name "ANDON_OIDC__REDIRECT_URL") }}
{{- $texts = append $texts $value }}
{{- end }}
{{- end }}
{{- range regexFindAll "https?://[^\"'\\s,}]+" (join " " $texts) -1 }}
{{- $ports = append $ports (include "andon.port-of" (list . (ternary "443" "80" (hasPrefix "https" .)))) }}
{{- end }}
{{- range .Values.networkPolicy.calls }}
{{- $ports = append $ports (. | toString) }}
{{- end }}
{{- join " " $ports }}
{{- end }}

{{- define "andon.pull" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
