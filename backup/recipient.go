package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"banyan/model"
)

// RecipientFile holds, in a node's directory, the public half of its recovery key. It is no setting: settings are copied from node to node, and what
// one node's backups are sealed to is no other's business.
const RecipientFile = "recovery.pub"

// Recipient is what a node's backups are sealed to, empty where it has no recovery key.
func Recipient(dir string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, RecipientFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	recipient := strings.TrimSpace(string(content))
	if CheckRecipient(recipient) != nil {
		return "", &model.Error{
			Kind: model.KindCorrupt, Detail: filepath.Join(dir, RecipientFile) + " holds no recipient", Remedy: "draw a key with `banyan recovery renew`",
		}
	}
	return recipient, nil
}

// SetRecipient lets a node's backups be sealed to another recipient from now on.
func SetRecipient(dir, recipient string) error {
	if err := CheckRecipient(recipient); err != nil {
		return err
	}
	return PutFile(filepath.Join(dir, RecipientFile), func(to *os.File) error {
		_, err := to.WriteString(recipient + "\n")
		return err
	})
}
