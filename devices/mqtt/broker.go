package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"banyan/model"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

const (
	keepAlive     = 15 // seconds
	packetTimeout = 10 * time.Second
	goodbyeWithin = 200 * time.Millisecond
)

// broker is the connection to a broker. One is open at a time, since a broker throws out the first of two clients with one ID.
type broker struct {
	address, clientID, user, password string
	tls                               *tls.Config
	state                             *lastWill // announced while connected; nil for none

	room chan struct{} // capacity 1: held while a connection is open or being made

	mu     sync.Mutex // guards client
	client *paho.Client
}

// lastWill is what is published when the connection is there, and what the broker publishes when it breaks.
type lastWill struct {
	topic   string
	payload func(online bool, since time.Time) []byte
}

// message is one that came.
type message struct {
	topic    string
	payload  []byte
	retained bool
	at       model.Time
}

// probe connects and says goodbye, to see whether the broker is there. It answers at once while a connection is open.
func (b *broker) probe(ctx context.Context) error {
	select {
	case b.room <- struct{}{}:
		defer func() { <-b.room }()
	default:
		return b.waitOpen(ctx)
	}
	since := time.Now()
	client, _, err := b.connect(ctx, since, nil)
	if err == nil {
		b.goodbye(client, since)
	}
	return err
}

// waitOpen waits for the connection that is being made.
func (b *broker) waitOpen(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if b.open() != nil {
			return nil
		}
		select {
		case b.room <- struct{}{}: // it was given up
			<-b.room
			return model.Errorf(model.KindUnavailable, "the broker at %s is not there", b.address)
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open is the open connection, nil where there is none.
func (b *broker) open() *paho.Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.client
}

func (b *broker) set(client *paho.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.client = client
}

// run connects, subscribes to filters and hands each message to take, one at a time in the order in which they come, until ctx or the connection ends.
// begun is called before the first message, connected when one can publish, too.
func (b *broker) run(ctx context.Context, filters []string, begun, connected func(), take func(message)) error {
	select {
	case b.room <- struct{}{}:
		defer func() { <-b.room }()
	case <-ctx.Done():
		return ctx.Err()
	}
	since := time.Now()
	client, failed, err := b.connect(ctx, since, take)
	if err != nil {
		return err
	}
	defer b.goodbye(client, since)
	subscribe := &paho.Subscribe{}
	for _, f := range filters {
		subscribe.Subscriptions = append(subscribe.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: 1})
	}
	begun()
	if _, err := client.Subscribe(ctx, subscribe); err != nil {
		return b.explain(ctx, "subscribe", err)
	}
	if err := b.announce(ctx, client, since); err != nil {
		return err
	}
	b.set(client)
	defer b.set(nil)
	connected()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-failed:
		return b.explain(ctx, "connection", err)
	case <-client.Done():
		return model.Errorf(model.KindUnavailable, "the connection to the broker ended")
	}
}

// connect opens a connection. The first error of it comes from failed.
func (b *broker) connect(ctx context.Context, since time.Time, take func(message)) (client *paho.Client, failed <-chan error, err error) {
	conn, err := b.dial(ctx)
	if err != nil {
		return nil, nil, model.Errorf(model.KindUnavailable, "the broker is not there: %w", err)
	}
	errs := make(chan error, 1)
	fail := func(err error) {
		select {
		case errs <- err:
		default:
		}
	}
	client = paho.NewClient(paho.ClientConfig{
		ClientID: b.clientID, Conn: conn, PacketTimeout: packetTimeout, OnClientError: fail,
		OnServerDisconnect: func(d *paho.Disconnect) { fail(&dismissed{d.ReasonCode}) },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			if take != nil {
				take(message{p.Packet.Topic, p.Packet.Payload, p.Packet.Retain, model.TimeOf(time.Now())})
			}
			return true, nil
		}},
	})
	if err := b.greet(ctx, client, since); err != nil {
		_ = conn.Close() // it is of no more use
		return nil, nil, err
	}
	return client, errs, nil
}

// greet is the handshake of MQTT.
func (b *broker) greet(ctx context.Context, client *paho.Client, since time.Time) error {
	most := uint32(maxPayload + 64<<10)
	connect := &paho.Connect{
		ClientID: b.clientID, KeepAlive: keepAlive, CleanStart: true, Username: b.user, UsernameFlag: b.user != "",
		Password: []byte(b.password), PasswordFlag: b.password != "", Properties: &paho.ConnectProperties{MaximumPacketSize: &most},
	}
	if b.state != nil {
		connect.WillMessage = &paho.WillMessage{Topic: b.state.topic, Payload: b.state.payload(false, since), QoS: 1, Retain: true}
	}
	answer, err := client.Connect(ctx, connect)
	switch {
	case answer != nil && answer.ReasonCode >= 0x80:
		return model.Errorf(refusalKind(answer.ReasonCode), "the broker refuses: %s", refusalText(answer))
	case err != nil:
		return b.explain(ctx, "handshake", err)
	}
	return nil
}

// refusalKind tells a broker that cannot from one that will not.
func refusalKind(code byte) model.ErrorKind {
	switch code {
	case packets.ConnackServerUnavailable, packets.ConnackServerBusy, packets.ConnackUseAnotherServer, packets.ConnackServerMoved, packets.ConnackConnectionRateExceeded:
		return model.KindUnavailable
	}
	return model.KindInvalid
}

func refusalText(answer *paho.Connack) string {
	code := (&packets.Connack{ReasonCode: answer.ReasonCode}).Reason()
	if answer.Properties != nil && answer.Properties.ReasonString != "" {
		return code + ": " + answer.Properties.ReasonString
	}
	return code
}

// dismissed is a broker that ended the connection by itself.
type dismissed struct{ code byte }

func (d *dismissed) Error() string {
	return "the broker ended the connection: " + (&packets.Disconnect{ReasonCode: d.code}).Reason()
}

func (b *broker) explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return model.Errorf(model.KindTimeout, "the broker does not answer (%s)", what)
	}
	return model.Errorf(model.KindUnavailable, "%s: %w", what, err)
}

func (b *broker) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", b.address)
	if err != nil || b.tls == nil {
		return conn, err
	}
	secured := tls.Client(conn, b.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return packets.NewThreadSafeConn(secured), nil
}

// announce says that this client is there, to those who wait for it.
func (b *broker) announce(ctx context.Context, client *paho.Client, since time.Time) error {
	if b.state == nil {
		return nil
	}
	_, err := client.Publish(ctx, &paho.Publish{Topic: b.state.topic, Payload: b.state.payload(true, since), QoS: 1, Retain: true})
	if err != nil {
		return b.explain(ctx, "announcement", err)
	}
	return nil
}

// goodbye ends a connection in good order, or at once where that takes long.
func (b *broker) goodbye(client *paho.Client, since time.Time) {
	if b.state != nil {
		ctx, cancel := context.WithTimeout(context.Background(), goodbyeWithin)
		_, _ = client.Publish(ctx, &paho.Publish{Topic: b.state.topic, Payload: b.state.payload(false, since), Retain: true}) // the broker says it where we cannot
		cancel()
	}
	_ = client.Disconnect(&paho.Disconnect{}) // whether it is heard does not matter
	<-client.Done()
}

// publish sends a message and waits until the broker has it.
func (b *broker) publish(ctx context.Context, topic string, payload []byte, qos byte, retain bool) error {
	client := b.open()
	if client == nil {
		return model.Errorf(model.KindUnavailable, "the broker is not connected")
	}
	if _, err := client.Publish(ctx, &paho.Publish{Topic: topic, Payload: payload, QoS: qos, Retain: retain}); err != nil {
		return b.explain(ctx, "publish", err)
	}
	return nil
}
