package server

import (
	"context"
	"maps"

	"banyan/access"
	"banyan/model"
	"banyan/tree"
)

// systemCall does what a function of the node's own context is declared to do. The declaration stands with its concept, in a list that nodeSchema takes
// in; Node.systemCalls says which call belongs to which name.
type systemCall func(ctx context.Context, by access.Principal, given given) ([]model.Argument, error)

// systemCalls are what the functions of /system do, by name.
func (n *Node) systemCalls() map[string]systemCall {
	calls := map[string]systemCall{
		functionAudit: n.audit.read, functionVerifyAudit: n.audit.verify, functionExplainRight: n.explainRight,
		functionBackup: n.backups.now, functionSetRecovery: n.backups.setRecovery, functionDoctor: n.doctor,
		functionIdentity: n.identity, functionRotateRoot: n.rotateRoot,
	}
	maps.Copy(calls, n.sessionCalls())
	return calls
}

// systemShows are those of them that only show something.
var systemShows = map[string]bool{functionAudit: true, functionVerifyAudit: true, functionSessions: true, functionLocks: true, functionExplainRight: true, functionDoctor: true, functionIdentity: true}

// Call runs a function of the node itself.
func (c *nodes) Call(ctx context.Context, _ *tree.Context, function string, arguments []model.Argument, by access.Principal) ([]model.Argument, error) {
	run, known := c.calls[function]
	if !known {
		return nil, model.Errorf(model.KindUnsupported, "the node has no function %s", function)
	}
	return run(ctx, by, argumentsOf(arguments))
}
