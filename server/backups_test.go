package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/backup"
	"banyan/model"
)

// Backups come by themselves as soon as there is a place for them, as many as are to be kept stay, others' files there are left alone, and a restart makes
// none before its time. What fails is shown with its reason, and tried again.
func TestBackupsBySchedule(t *testing.T) {
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	n, dir := makeNode(t, "berlin"), t.TempDir()
	n.set("/system", settingBackupDir, model.String(dir))
	n.waits("/system:backup_state", is("failed good"))
	n.waits("/system:backup_detail", func(v string) bool {
		return strings.Contains(v, "no recovery key") && strings.Contains(v, "banyan recovery renew")
	})
	n.call("/system", "set_recovery", textArgument("recipient", key.Recipient()))
	n.waits("/system:recovery_recipient", is(key.Recipient()+" good"))
	first := n.call("/system", "backup")["file"].Text()
	n.waits("/system:backup_state", is("ok good"))
	if _, err := backup.Verify(t.Context(), first, key, t.TempDir(), nil); err != nil {
		t.Fatal(err)
	}
	n.set("/system", settingBackupKeep, model.Int64(2))
	foreign := filepath.Join(dir, "munich-20260101T000000.000Z.banyan")
	if err := os.WriteFile(foreign, []byte("of somebody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		n.call("/system", "backup")
	}
	kept := func() []string {
		names, _ := filepath.Glob(filepath.Join(dir, "berlin-*"))
		return names
	}
	if names := kept(); len(names) != 2 {
		t.Errorf("kept are %v", names)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	if due, scheduled := n.backups.due(time.Time{}); !scheduled || time.Until(due) < 23*time.Hour {
		t.Errorf("the next one is due %s", due)
	}
	if due, _ := n.backups.due(time.Now()); time.Until(due) < 23*time.Hour {
		t.Errorf("after a failure the next one is due %s", due)
	}
	n.stop()
	n.start("berlin")
	n.waits("/system:backup_state", is("ok good"))
	n.waits("/system:backup_time", func(v string) bool { return strings.HasPrefix(v, "20") && strings.HasSuffix(v, "good") })
	if names := kept(); len(names) != 2 {
		t.Errorf("after a restart there are %v", names)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, err = n.execute(Request{Op: OpCall, Path: systemPath, Name: functionBackup})
	if err == nil {
		t.Fatal("a backup in a directory that is gone")
	}
	n.waits("/system:backup_state", is("failed good"))
	n.waits("/system:backup_time", func(v string) bool { return strings.HasPrefix(v, "20") }) // of the one that succeeded
	for name, v := range map[string]model.Value{
		settingBackupDir: model.String("relative"), settingBackupEvery: model.Duration(time.Second), settingBackupKeep: model.Int64(0),
		settingSendEvery: model.Duration(time.Millisecond),
	} {
		if _, err := n.execute(Request{Op: OpSet, Path: systemPath, Name: name, Value: v}); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%s = %s: %v", name, v, err)
		}
	}
	if _, err := n.execute(Request{Op: OpCall, Path: systemPath, Name: functionSetRecovery, Arguments: []model.Argument{
		textArgument("recipient", key.Reveal()),
	}}); model.KindOf(err) != model.KindInvalid || strings.Contains(err.Error(), key.Reveal()) {
		t.Errorf("a key in place of its recipient: %v", err)
	}
	if strings.Contains(n.log.String(), "AGE-SECRET") {
		t.Error("a key is in the log")
	}
}

// An invitation that a backup holds does not work after a restore: it may have been used since.
func TestRestoredInvitationIsEnded(t *testing.T) {
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	hq, berlin := makeNode(t, "hq"), makeNode(t, "berlin")
	hq.call("/system", "set_recovery", textArgument("recipient", key.Recipient()))
	invitation := hq.call("/links", "invite", textArgument("name", "berlin"), textArgument("role", "consumer"), textArgument("mount", "/sites/berlin"))
	dir := t.TempDir()
	hq.set("/system", settingBackupEvery, model.Duration(0))
	hq.set("/system", settingBackupDir, model.String(dir))
	file := hq.call("/system", "backup")["file"].Text()
	hq.stop()
	fresh := filepath.Join(dir, "hq")
	if _, err := backup.Restore(t.Context(), file, backup.Restoring{Dir: fresh, Key: key, Now: func() model.Time { return model.TimeOf(time.Now()) }}); err != nil {
		t.Fatal(err)
	}
	address := hq.LinksAddress()
	again := &linkedNode{t: t, dir: fresh}
	again.startAt("hq", address)
	_, err = berlin.execute(Request{Op: OpCall, Path: linksPath, Name: functionJoin, Arguments: []model.Argument{textArgument("token", invitation["token"].Text())}})
	if err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an invitation of before the restore: %v", err)
	}
	rows := auditOf(t, again.Node, 0)
	if text := strings.Join(rows, "\n"); !strings.Contains(text, "restore") {
		t.Errorf("the audit log does not tell of the restore:\n%s", text)
	}
}
