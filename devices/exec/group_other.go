//go:build !linux

package exec

import "syscall"

const supported = false

func attributes() *syscall.SysProcAttr { return nil }

func awaitEnd(int) {}
