{{- define "gnomon.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "gnomon.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "gnomon.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "gnomon.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "gnomon.peersName" -}}
{{ include "gnomon.fullname" . }}-peers
{{- end }}

{{- define "gnomon.peersDomain" -}}
{{ include "gnomon.peersName" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "gnomon.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gnomon.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gnomon.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "gnomon.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "gnomon.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "gnomon.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "gnomon.webSecret" -}}
{{- if .Values.webConfig.existingSecret }}
{{- .Values.webConfig.existingSecret }}
{{- else if .Values.webConfig.files }}
{{- include "gnomon.fullname" . }}-web
{{- end }}
{{- end }}

{{/* The StatefulSets, as a list in JSON: name, zone, nodeZone, replicas, founders. */}}
{{- define "gnomon.sets" -}}
{{- $fullname := include "gnomon.fullname" . }}
{{- $sets := list }}
{{- range .Values.zones }}
{{- $replicas := default 1 .replicas | int }}
{{- $sets = append $sets (dict "name" (printf "%s-%s" $fullname .name) "zone" .name
    "nodeZone" (default .name .nodeZone) "replicas" $replicas
    "founders" (min $replicas (int $.Values.foundersPerZone))) }}
{{- end }}
{{- if not .Values.zones }}
{{- $replicas := int .Values.replicas }}
{{- $sets = append $sets (dict "name" $fullname "zone" "" "nodeZone" "" "replicas" $replicas
    "founders" (min $replicas (int .Values.founders))) }}
{{- end }}
{{- toJson (dict "sets" $sets) }}
{{- end }}

{{/* cluster.peers: those that form the cluster. */}}
{{- define "gnomon.peers" -}}
{{- $domain := include "gnomon.peersDomain" . }}
{{- $peers := list }}
{{- range (include "gnomon.sets" . | fromJson).sets }}
{{- $name := .name }}
{{- range until (int .founders) }}
{{- $peers = append $peers (printf "%s-%d=%s-%d.%s:9010" $name . $name . $domain) }}
{{- end }}
{{- end }}
{{- join "," $peers }}
{{- end }}

{{- define "gnomon.settings" -}}
{{- $cluster := dict "listen" ":9010" "peers" (include "gnomon.peers" .) }}
{{- if .Values.clusterTLS.existingSecret }}
{{- $_ := set $cluster "tls" (dict "certificate" "/etc/gnomon/cluster/tls.crt"
    "key" "/etc/gnomon/cluster/tls.key" "ca" "/etc/gnomon/cluster/ca.crt") }}
{{- end }}
{{- $http := dict "listen" ":9009" }}
{{- if include "gnomon.webSecret" . }}
{{- $_ := set $http "web_config" "/etc/gnomon/web/web.yaml" }}
{{- end }}
{{- $own := dict "http" $http "cluster" $cluster "storage" (dict "directory" "/var/lib/gnomon/data") }}
{{- mustMergeOverwrite (deepCopy .Values.settings) $own | toYaml }}
{{- end }}

{{- define "gnomon.updateStrategy" -}}
{{- if .Values.updateStrategy }}
{{- .Values.updateStrategy }}
{{- else if gt (len .Values.zones) 1 -}}
OnDelete
{{- else -}}
RollingUpdate
{{- end }}
{{- end }}
