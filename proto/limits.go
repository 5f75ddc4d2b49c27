package proto

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"banyan/fault"
	"banyan/model"
)

// mostOf is how often each field may come that can come several times, in one message from another node, by the field's full name below banyan. It is looked
// at before the message is decoded, since what comes in two bytes may take two hundred in memory. Those who read what was decoded have limits of their own,
// which are narrower where they know more; a number here is never below what an honest node of any version sends.
var mostOf = map[string]int{
	// A delta is about 64 KiB or one context, and tells 512 of them at most; a comparison 1,000.
	"link.v1.Delta.definitions": 4096, "link.v1.Delta.removals": 16_384, "link.v1.Delta.origins": 32_768, "link.v1.Delta.routes": 4096, "link.v1.Delta.schemas": 4096,
	"link.v1.Definition.settings": model.MaxSchemaEntries, "link.v1.Route.hops": 64, "link.v1.Known.contexts": 4096, "link.v1.Known.origins": 8192,
	"link.v1.Bindings.origins": 65_536, "link.v1.Bindings.paths": 65_536,
	// What is stale is one for each mount behind the provider and one for each restart there.
	"link.v1.Overlays.stale": 10_000, "link.v1.Stale.nodes": 64, "link.v1.Freshness.hops": 5000, "link.v1.HopFreshness.lanes": 16, "link.v1.Beat.lanes": 16,
	"link.v1.Interest.rules": 512, "link.v1.Permit.patterns": 64, "link.v1.Permit.revoked": 10_000,
	"link.v1.Principal.relays": 64, "link.v1.ExecuteResponse.via": 64, "link.v1.ExplainResponse.hops": 64, "link.v1.InspectResponse.exports": 1024,
	"link.v1.CallOperation.arguments": model.MaxSchemaEntries, "link.v1.CreateOperation.settings": model.MaxSchemaEntries,
	"link.v1.ChangeOperation.settings": model.MaxSchemaEntries, "link.v1.ExecuteResponse.results": model.MaxSchemaEntries, "link.v1.ApplyOperation.edits": 10_000,
	"link.v1.MeetRequest.restores": 1024, "link.v1.MeetResponse.restores": 1024,
	"link.v1.RedeemRequest.roots": 64, "link.v1.RedeemResponse.roots": 64, "link.v1.RedeemRequest.addresses": 64, "link.v1.ExportTerms.patterns": 1024,

	"model.v1.Chain.begins": maxEpochs, "model.v1.Table.columns": model.MaxTableColumns, "model.v1.Table.rows": model.MaxTableRows, "model.v1.Row.cells": model.MaxTableColumns,
	"model.v1.Schema.settings": model.MaxSchemaEntries, "model.v1.Schema.variables": model.MaxSchemaEntries, "model.v1.Schema.functions": model.MaxSchemaEntries,
	"model.v1.Schema.events": model.MaxSchemaEntries, "model.v1.Function.parameters": model.MaxSchemaEntries, "model.v1.Function.results": model.MaxSchemaEntries,
	"model.v1.EventType.fields": model.MaxSchemaEntries, "model.v1.Samples.boxed": MaxSamples, "model.v1.Error.also": 64,
}

// mostFields is more than a message has that is counted.
const mostFields = 32

// mostTimes is how often a field may come in one message. What can come once only does: protobuf would add up what came before.
func mostTimes(field protoreflect.FieldDescriptor) int {
	if fault.Planted(fault.FieldsNotCounted) {
		return maxParts
	}
	if !field.IsList() {
		return 1
	}
	if most, said := mostOf[string(field.FullName())[len("banyan."):]]; said {
		return most
	}
	return maxParts
}
