package topologies

import (
	"testing"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
)

// TestRoleDistribution: the file starts as processes; the reporting server's reader sees what is monitored, and may change nothing, neither there nor
// through the reporting server's administrator.
func TestRoleDistribution(t *testing.T) {
	cfg := Config{Dir: t.TempDir() + "/net", Command: command("serve"), Progress: func(line string) { t.Log(line) }}
	n := up(t, cfg, "role-distribution.yaml")
	seen(t, n, "reporting", "rita", "/monitored/devices/sim:updates")
	rita, err := n.Client(t.Context(), "reporting", "rita")
	if err != nil {
		t.Fatal(err)
	}
	defer rita.Close()
	for _, hidden := range []string{"/system:uptime", "/links/monitoring:state"} {
		if _, err := rita.Tree.Get(t.Context(), &apiv1.GetRequest{Address: hidden}); err == nil {
			t.Errorf("rita sees %s", hidden)
		}
	}
	admin, err := n.Client(t.Context(), "reporting", "admin")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	path := model.MustPath("/monitored/devices/sim")
	if err := admin.set(t.Context(), path, "poll_interval", model.Duration(time.Second)); model.KindOf(err) != model.KindDenied {
		t.Errorf("setting through the reporting server: %v", err)
	}
	if list, err := admin.Tree.List(t.Context(), &apiv1.ListRequest{Path: "/monitored"}); err != nil || len(list.GetEntries()) != 1 {
		t.Errorf("what is not exported: %v, %v", list.GetEntries(), err)
	}
}
