package devices

import (
	"context"

	"banyan/model"
)

// Driver knows one kind of device. A driver has no state of its own: everything that lives is in the devices that it opens.
type Driver interface {
	// Kind is the word that a context of this kind carries: "host", "simulator".
	Kind() string

	// Schema declares what is special to this kind, without Hash and Raw; it is the same at every call and nobody changes it.
	// A variable or function is later meant by its index in this schema. What all devices have in common is added by
	// Complete, behind the driver's own entries, so that indexes stay what they are.
	Schema() *model.Schema

	// Open makes a device from settings that Resolve has checked against the completed schema: every declared one is there, a
	// setting without a default may be no value. It refuses what it cannot use with BadSetting. It reaches for nothing
	// outside of the process and does not wait: connections are made by the first poll. The common poll_interval and timeout
	// are among them but can change while the device lives: what limits a call is its ctx.
	Open(settings Settings) (Device, error)
}

// Device is one opened device. Poll never runs twice at once, but Call, Write and Stream may run beside it and beside each
// other: a device locks what it has to. All of them return soon after ctx has ended. One that does not is left behind: nobody waits for it,
// what it publishes is dropped, it counts as hanging, and the device is not polled again until it has returned.
//
// Errors of kind unavailable and timeout mean that the device did not answer, all others that it answered with a failure.
type Device interface {
	// Poll reads the device and publishes every variable that it reads, each time: a variable left out keeps the quality that a
	// failure before gave it. Source times are those of the readings. The publisher, and the children had from it, may be
	// kept from one poll to the next, for use in polls only.
	Poll(ctx context.Context, publish Publisher) error

	// Call runs the function with this index in the driver's schema. Arguments were checked against their declaration: names and
	// types fit, and what is not optional is there. The publisher is for this call only.
	Call(ctx context.Context, function int, arguments []model.Argument, publish Publisher) ([]model.Argument, error)

	// Write sets a variable that was declared writable, to a value of its type. The effect is published, as it then is. The
	// publisher is for this call only.
	Write(ctx context.Context, variable int, value model.Value, publish Publisher) error

	// Close gives back what the device holds. Nothing runs in the device any more when it is called; twice is as good as once.
	Close() error
}

// Confidant is a driver whose devices send their secrets somewhere. A setting that says where they go, or who is believed to be there, is not changed
// under secrets that stay what they were, except by who may administer the device: nobody gets at a password by moving what it is told to.
type Confidant interface {
	Driver

	// SecretsGoBy names those settings.
	SecretsGoBy() []string
}

// Streamer is a device that also publishes on its own account, between polls and without being asked.
type Streamer interface {
	Device

	// Stream publishes until ctx ends. Nil before that means that there is nothing (more) to stream. After an error it is started
	// again, with a pause that grows from one second to one minute; the error stands as the device's state until the
	// next sample comes. The publisher, and the children had from it, are for this run only.
	Stream(ctx context.Context, publish Publisher) error
}

// Argument is the value called name, or no value.
func Argument(arguments []model.Argument, name string) model.Value {
	for _, a := range arguments {
		if a.Name == name {
			return a.Value
		}
	}
	return model.Value{}
}
