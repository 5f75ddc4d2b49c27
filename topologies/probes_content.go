package topologies

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// ProbeVariables is how many variables each context of a probe has.
const ProbeVariables = 10

// FillProbe fills a tree with contexts of ten variables, in folders of a thousand, and publishes each variable once.
func FillProbe(t *tree.Tree, node model.NodeID, epoch model.Epoch, contexts int) error {
	device := model.Schema{Kind: "device"}
	for i := range ProbeVariables {
		device.Variables = append(device.Variables, model.Variable{Name: fmt.Sprintf("v%d", i), Type: model.TypeFloat64})
	}
	schema, err := proto.NewSchema(device)
	if err != nil {
		return err
	}
	const chunk = 1000
	var puts []tree.Put
	var batch tree.Batch
	now := model.TimeOf(time.Now())
	for n := range contexts {
		puts = append(puts, tree.Put{
			ID:   model.ContextID{Node: node, Epoch: epoch, Number: uint64(n + 1)},
			Path: model.MustPath(ProbeContext(n)), Schema: schema, Version: model.Version{Epoch: epoch, Number: 1},
		})
		if len(puts) < chunk && n < contexts-1 {
			continue
		}
		t.Apply(puts, nil)
		batch.Reset()
		for i := range puts {
			for v := range puts[i].Slots.Count {
				batch.Slots = append(batch.Slots, puts[i].Slots.First+tree.Slot(v))
				batch.Bits = append(batch.Bits, math.Float64bits(float64(n+1-len(puts)+i)))
				batch.Source = append(batch.Source, now)
			}
		}
		t.Publish(&batch)
		puts = puts[:0]
	}
	return nil
}

// ProbeContext is the path of one of the contexts of a probe.
func ProbeContext(number int) string {
	return fmt.Sprintf("/sites/s%04d/device-%06d", number/1000, number)
}

// Known are the roots of nodes.
type Known map[model.NodeID]*x509.Certificate

// Roots are those of a node.
func (k Known) Roots(node model.NodeID) ([]*x509.Certificate, error) {
	if root := k[node]; root != nil {
		return []*x509.Certificate{root}, nil
	}
	return nil, errors.New("there is no such node")
}

// Everything selects everything, whole.
type Everything struct{}

// Key names the selection.
func (Everything) Key() string { return "everything" }

// Selects is true.
func (Everything) Selects(model.Path, string) bool { return true }

// Schema is the whole one.
func (Everything) Schema(s *model.Schema) (*model.Schema, error) { return s, nil }
