package pki

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"banyan/durable"
	"banyan/model"
)

// The files of a node's directory that this package owns.
const (
	RootFile   = "root.pem"   // the root's private key and its certificate, 0600
	CAFile     = "ca.pem"     // the root's certificate alone, for `curl --cacert`; made anew from RootFile when it is lost
	APIFile    = "api.pem"    // key and certificate of the API listener, 0600; made anew when it is lost
	SecretFile = "secret.key" // the key of what is sealed at rest, 0600
)

const (
	maxPEMBytes = 64 << 10
	othersMay   = 0o077 // permission bits that a key of ours must not have
)

// replaceFile puts data at path so that after a crash there is the old content or the new one, never a part.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	return writeFailed(path, durable.Replace(path, data, mode))
}

// createFile is replaceFile for a file that must not be there yet, also when two processes try at once.
func createFile(path string, data []byte, mode fs.FileMode) error {
	return writeFailed(path, durable.Create(path, data, mode))
}

func writeFailed(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return &model.Error{Kind: model.KindExists, Op: "create", Detail: path + " is there already", Err: err,
			Remedy: "a node's keys are made once; choose another directory, or start the node that lives in this one"}
	}
	return model.Errorf(model.KindInternal, "cannot write %s: %w", path, err)
}

// readFile reads at most maxPEMBytes of a regular file. Where forbidden has permission bits that the file has, it is refused: a key
// that others can read or change proves nothing.
func readFile(path string, forbidden fs.FileMode) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &model.Error{Kind: model.KindNotFound, Op: "read", Detail: path + " is not there", Err: err,
			Remedy: "restore it from a backup of this node, or check which directory is meant"}
	}
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot read %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot read %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, model.Errorf(model.KindInvalid, "%s is not a file", path)
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return nil, &model.Error{Kind: model.KindInvalid, Op: "read",
			Detail: fmt.Sprintf("others than the owner have rights on %s (its mode is %04o), and it holds a private key", path, mode),
			Remedy: fmt.Sprintf("chmod %04o %s; if others may have read it, replace the key", mode&^forbidden, path)}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPEMBytes+1))
	if err != nil {
		return nil, model.Errorf(model.KindInternal, "cannot read %s: %w", path, err)
	}
	if len(data) > maxPEMBytes {
		return nil, model.Errorf(model.KindInvalid, "%s has more than %d bytes", path, maxPEMBytes)
	}
	return data, nil
}
