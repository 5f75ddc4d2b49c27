package siege

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"banyan/pki"
	"banyan/proto/apiv1"
	"banyan/proto/apiv1/apiv1connect"
	"banyan/server"
	"banyan/topologies"
)

const network = `network: siege
nodes:
  victim:
    devices:
      /devices/sim: {kind: simulator, points: 500, poll_interval: 1s}
  friend:
    devices:
      /devices/sim: {kind: simulator, points: 10, poll_interval: 500ms}
  mallory: {}
links:
  - {provider: friend, consumer: victim, dials: provider, export: {paths: ["/**"], right: view}, mount: /friend}
  - {provider: victim, consumer: mallory, dials: consumer, export: {paths: ["/**"], right: view}, mount: /victim}
  - {provider: mallory, consumer: victim, dials: provider, export: {paths: ["/**"], right: view}, mount: /mallory}
`

// Scene is a node that is attacked by one that was linked with it, and has a friend.
type Scene struct {
	Network *topologies.Network
	Target  *Target
	PID     int // of the node

	password string
	roots    *x509.CertPool
	client   *topologies.Client
}

// Prepare starts it in a directory; command is how a node is started by its configuration file.
func Prepare(ctx context.Context, dir string, command func(config string) []string) (*Scene, error) {
	file := filepath.Join(dir, "topology.yaml")
	if err := os.WriteFile(file, []byte(network), 0o600); err != nil {
		return nil, err
	}
	net, err := topologies.Up(ctx, topologies.Config{Dir: filepath.Join(dir, "network"), Command: command}, file)
	if err != nil {
		return nil, err
	}
	s := &Scene{Network: net}
	if err := s.learn(ctx); err != nil {
		return nil, errors.Join(err, s.End())
	}
	return s, nil
}

// End stops everything.
func (s *Scene) End() error {
	if s.client != nil {
		s.client.Close()
	}
	err := s.Network.Down(context.Background(), false)
	s.Network.Close()
	return err
}

// learn waits until both links stand, and makes the attacker of the node that is called mallory: it ends, and its key goes on.
func (s *Scene) learn(ctx context.Context) error {
	var err error
	if s.client, err = s.Network.Client(ctx, "victim", server.AdminName); err != nil {
		return err
	}
	for _, link := range []string{"friend", "mallory-consumer", "mallory-provider"} {
		if err := s.up(ctx, link); err != nil {
			return err
		}
	}
	status, err := s.Network.Status(ctx)
	if err != nil {
		return err
	}
	for _, row := range status.Rows {
		if row.Node == "victim" {
			s.PID = row.PID
		}
	}
	if err := s.Network.Stop(ctx, "mallory"); err != nil {
		return err
	}
	t := &Target{Path: "/devices/sim", Sources: []string{"127.66.0.1", "127.66.0.2", "127.66.0.3", "127.66.0.4"}}
	config := s.node("victim", "node.yaml")
	raw, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	parsed, err := server.ParseFile(config, raw)
	if err != nil {
		return err
	}
	t.API, t.Links = parsed.Listeners.API, parsed.Listeners.Links
	if t.Root, err = pki.Look(s.data("victim")); err != nil {
		return err
	}
	t.Node = pki.Fingerprint(t.Root)
	if t.Mallory, err = pki.Load(s.data("mallory")); err != nil {
		return err
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(t.Root)
	password, err := os.ReadFile(filepath.Join(s.Network.Dir(), "secrets", "victim"))
	if err != nil {
		return err
	}
	s.password = strings.TrimSpace(string(password))
	s.Target = t
	t.Token, err = s.login(ctx)
	return err
}

func (s *Scene) node(name, file string) string {
	return filepath.Join(s.Network.Dir(), "nodes", name, file)
}

// data is the directory of a node.
func (s *Scene) data(name string) string {
	config := s.node(name, "node.yaml")
	if file, err := server.LoadFile(config); err == nil {
		return file.Data
	}
	return filepath.Dir(config)
}

// up waits until a link of the node is up.
func (s *Scene) up(ctx context.Context, link string) error {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		state, err := s.read(ctx, "/links/"+link+":state")
		if err == nil && state == "up" {
			return nil
		}
		if time.Since(began) > 60*time.Second {
			return fmt.Errorf("the link with %s is %s: %w", link, state, err)
		}
	}
}

func (s *Scene) read(ctx context.Context, address string) (string, error) {
	answer, err := s.client.Tree.Get(ctx, &apiv1.GetRequest{Address: address})
	return answer.GetValue().GetStringValue(), err
}

// login opens a session over a connection of its own.
func (s *Scene) login(ctx context.Context) (string, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := apiv1connect.NewSessionServiceClient(&http.Client{Transport: transport}, "https://"+s.Target.API)
	answer, err := client.Login(ctx, &apiv1.LoginRequest{Name: server.AdminName, Password: s.password})
	return answer.GetToken(), err
}

// Honest are those beside an attack: one who reads, one who comes anew and logs in, and the link of the friend, which stays up and moves.
func (s *Scene) Honest() []Honest {
	return []Honest{
		{Name: "read", Every: 20 * time.Millisecond, Do: func(ctx context.Context) error {
			_, err := s.read(ctx, "/devices/sim:updates")
			return err
		}},
		{Name: "login", Every: 200 * time.Millisecond, Do: func(ctx context.Context) error {
			token, err := s.login(ctx)
			if err == nil {
				err = s.logout(ctx, token)
			}
			return err
		}},
		{Name: "link", Every: 100 * time.Millisecond, Do: func(ctx context.Context) error {
			state, err := s.read(ctx, "/links/friend:state")
			if err == nil && state != "up" {
				err = fmt.Errorf("the link is %s", state)
			}
			return err
		}},
		{Name: "connect", Every: 200 * time.Millisecond, Do: s.greetLinks},
	}
}

func (s *Scene) logout(ctx context.Context, token string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.Target.API+apiv1connect.SessionServiceLogoutProcedure, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+token)
	answer, err := (&http.Client{Transport: transport}).Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("logout: %s", answer.Status)
	}
	return nil
}

// greetLinks comes to the door for links as a linked node does, up to both verdicts.
func (s *Scene) greetLinks(ctx context.Context) error {
	leaf, err := s.Target.Mallory.LinkLeaf(pki.LeafConfig{})
	if err != nil {
		return err
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Target.Links)
	if err != nil {
		return err
	}
	conn, _, err := pki.Connect(ctx, raw, pki.Config{
		Certificate: leaf.Current, Protocols: []string{pki.ProtocolConsumer}, Node: s.Target.Node, Pins: s.Target, Admit: func(pki.Peer) error { return nil },
	})
	if err != nil {
		return err
	}
	return conn.NetConn().Close()
}
