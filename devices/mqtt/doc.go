// Package mqtt is the driver of what is told over an MQTT 5 broker: sensors that publish text or JSON, and edge nodes that speak Sparkplug B.
//
// It owns the connection to the broker (broker.go), what becomes of messages (profile.go, topics.go, sparkplug.go), and the encoding of Sparkplug
// payloads (payload.go). It does not own a broker. A message is published when it comes; a poll says whether the broker is there.
package mqtt
