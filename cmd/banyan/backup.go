package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"banyan/backup"
	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

var systemPath = model.MustPath("/system")

// backupJSON is what is told of a backup.
type backupJSON struct {
	File      string         `json:"file"`
	Size      int64          `json:"size"`
	Node      model.NodeID   `json:"node"`
	Name      string         `json:"name"`
	Made      model.Time     `json:"made"`
	Revision  model.Revision `json:"revision"`
	Contexts  int            `json:"contexts"`
	Program   string         `json:"program"`
	Recipient string         `json:"recipient"`
	// Verified is header, of a backup that was not opened, or whole.
	Verified string        `json:"verified"`
	Parts    []backup.Part `json:"parts,omitempty"`
	Audit    string        `json:"audit_problem,omitempty"`
}

func newBackup(c *cli) *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use:   "backup --out FILE",
		Short: "Make a sealed backup of a node while it runs",
		Long: `Make a backup of a node while it runs, and take it over the API into FILE. Everything that was confirmed before is in it:
database, keys, configuration, profiles. It is checked before FILE gets its name, and sealed to the node's recovery
key, so that it can lie anywhere; only who has that key opens it ("banyan init" and "banyan recovery renew" print
it). "banyan restore" brings the node back.`,
		Example: `  banyan backup --out berlin.banyan
  banyan backup now                                  # into backup_dir of the node
  banyan set /system:backup_dir /var/backups/banyan  # one a day from now on
  banyan backup verify berlin.banyan --key-file berlin.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef(cmd, "give --out FILE, or `banyan backup now` for the node's own directory")
			}
			if err := mayReplace(out, force); err != nil {
				return err
			}
			c.takeTime(cmd)
			return c.backup(cmd.Context(), out)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to put the backup into")
	cmd.Flags().BoolVar(&force, "force", false, "replace a FILE that is there, once the new backup is whole")
	cmd.AddCommand(newBackupNow(c), newBackupVerify(c))
	return cmd
}

// mayReplace says why a backup cannot be put where out is. A device, a folder or a symbolic link is never replaced: who names one means what lies behind it.
func mayReplace(out string, force bool) error {
	info, err := os.Lstat(out)
	switch {
	case err != nil:
		return nil //nolint:nilerr // what is not there is not replaced; why else it cannot be looked at is told by writing
	case !info.Mode().IsRegular():
		return &model.Error{Kind: model.KindConflict, Op: "backup", Detail: out + " is no regular file, and only such a one is replaced", Remedy: "give another name"}
	case !force:
		return &model.Error{
			Kind: model.KindConflict, Op: "backup", Detail: out + " is there already", Remedy: "give another name, or --force to put the new backup in its place",
		}
	}
	return nil
}

// takeTime lets a command that takes as long as it takes do so, unless --timeout was given.
func (c *cli) takeTime(cmd *cobra.Command) {
	if !cmd.Flags().Changed("timeout") {
		c.timeout = 0
	}
}

func (c *cli) backup(ctx context.Context, out string) error {
	ctx, at, stop, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer stop()
	shown := c.progress()
	watched, stopWatching := context.WithCancel(ctx)
	done := make(chan struct{})
	taking := make(chan struct{})
	go func() { // until the first byte comes the node tells how far it is
		defer close(done)
		at.followBackup(watched, taking, shown)
	}()
	began := false
	err = at.download(ctx, "backup", "/backup", out, func(n, total int64) {
		if !began {
			began = true
			close(taking)
			<-done
		}
		shown.of(backup.Progress{Doing: "taking", Done: n, Total: total})
	})
	stopWatching()
	<-done
	shown.end()
	if err != nil {
		return err
	}
	header, err := backup.ReadHeader(out)
	if err != nil {
		return err
	}
	return c.printBackup("backed up", out, header, nil)
}

// followBackup shows how far the node is with a backup, until ctx ends or it is taken.
func (at *client) followBackup(ctx context.Context, taking <-chan struct{}, shown *progress) {
	if shown.to == nil {
		return
	}
	follower := *at // its login is its own
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-taking:
			return
		case <-ticker.C:
		}
		address := model.Address{Path: systemPath, Name: "backup_detail"}
		r, err := ask(ctx, &follower, "get", address, follower.trees.Get, &apiv1.GetRequest{Address: address.String()})
		if err == nil && r.GetValue().GetStringValue() != "" {
			shown.show(r.GetValue().GetStringValue())
		}
	}
}

// printBackup prints what a backup is.
func (c *cli) printBackup(done, file string, h backup.Header, whole *backup.Manifest) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	form := backupJSON{
		File: file, Size: info.Size(), Node: h.Node, Name: h.Name, Made: h.Made, Revision: h.Revision, Contexts: h.Contexts, Program: h.Program,
		Recipient: h.Recipient, Verified: "header",
	}
	if whole != nil {
		form.Verified, form.Parts, form.Audit = "whole", whole.Parts, whole.AuditProblem
	}
	if c.json {
		return c.printJSON(form)
	}
	t := &table{}
	t.add(done, h.Name+" ("+h.Node.Short()+") in "+file)
	t.add("size", bytesText(info.Size()))
	t.add("made", h.Made.Std().Format(time.RFC3339))
	t.add("revision", h.Revision.String())
	t.add("contexts", model.Int64(int64(h.Contexts)).String())
	t.add("opens with", "the key of "+h.Recipient)
	if form.Audit != "" {
		t.add("audit log", "is not whole: "+form.Audit)
	}
	return t.write(c.out)
}

func newBackupNow(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "now",
		Short:   "Make a backup in the node's own directory for backups",
		Long:    "Make a backup in the directory of the node's host that /system:backup_dir names, as the schedule does.",
		Example: "  banyan set /system:backup_dir /var/backups/banyan\n  banyan backup now",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.takeTime(cmd)
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			address := model.Address{Path: systemPath, Name: "backup"}
			answer, err := at.call(ctx, address, named{})
			if err != nil {
				return err
			}
			return c.printResults(address, answer)
		},
	}
}

func newBackupVerify(c *cli) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check a backup",
		Long: `Check a backup. Without --key-file only what stands in front is read: whose it is, of when, and whose key opens it. With
it everything is opened and checked as a restore does, in a directory that is removed after.`,
		Example: "  banyan backup verify berlin.banyan\n  banyan backup verify berlin.banyan --key-file berlin.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := args[0]
			if keyFile == "" {
				header, err := backup.ReadHeader(file)
				if err != nil {
					return about("verify "+file, err)
				}
				c.note("Only what stands in front was read. --key-file opens it and checks everything.")
				return c.printBackup("backup of", file, header, nil)
			}
			key, err := readKeyFile(keyFile)
			if err != nil {
				return err
			}
			shown := c.progress()
			whole, err := backup.Verify(cmd.Context(), file, key, filepath.Dir(file), shown.of)
			shown.end()
			if err != nil {
				return about("verify "+file, err)
			}
			return c.printBackup("whole", file, whole.Header, &whole)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "`FILE` with the recovery key")
	return cmd
}
