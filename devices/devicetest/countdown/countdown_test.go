package countdown_test

import (
	"testing"

	"banyan/devices/devicetest"
	"banyan/devices/devicetest/countdown"
)

func TestDriver(t *testing.T) { devicetest.Run(t, countdown.Driver{}) }
