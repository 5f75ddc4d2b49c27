package server

import (
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"crypto/sha256"

	"banyan/backup"
	"banyan/model"
	"banyan/rest"
)

// serveBackup makes a backup and sends it, sealed as it is: GET /backup, for whoever may administer /system. The length and the digest are told
// before the first byte, so that who takes it knows when it is whole.
func (b *backups) serveBackup(w http.ResponseWriter, r *http.Request) {
	dir, err := os.MkdirTemp(b.node.cfg.Data, backup.ScratchPrefix+"*")
	if err != nil {
		b.refuse(w, model.Errorf(model.KindInternal, "a place for the backup cannot be made: %w", err))
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, b.node.cfg.Name+backupSuffix)
	m, size, err := b.make(r.Context(), file, forDownload)
	if err != nil {
		b.refuse(w, err)
		return
	}
	made, err := os.Open(file)
	if err != nil {
		b.refuse(w, err)
		return
	}
	defer made.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, made); err != nil {
		b.refuse(w, err)
		return
	}
	if _, err := made.Seek(0, io.SeekStart); err != nil {
		b.refuse(w, err)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Length", strconv.FormatInt(size, 10))
	header.Set("Content-Disposition", `attachment; filename="`+b.node.cfg.Name+"-"+m.Made.Std().Format("20060102T150405Z")+backupSuffix+`"`)
	header.Set("Cache-Control", "no-store")
	header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum.Sum(nil))+":") // RFC 9530
	if _, err := io.Copy(w, made); err != nil {
		b.log.Warn("a backup was not taken to its end", "error", err)
	}
}

func (b *backups) refuse(w http.ResponseWriter, err error) {
	if model.KindOf(err) == model.KindInternal {
		b.log.Error("a backup cannot be handed out", "error", err)
		err = model.Errorf(model.KindInternal, "an internal error; the log of %s has the detail", b.node.cfg.Name)
	}
	rest.Refuse(w, err)
}
