package http_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"banyan/devices/devicetest"
)

// nginx is a real web server of the test's own.
type nginx struct {
	authority     *devicetest.Authority
	plain, secure string // host and port
}

// startNginx runs nginx with HTTP at one port and TLS with HTTP/2 at another one. Its certificate is for 127.0.0.1, for two days.
func startNginx(t *testing.T) *nginx {
	t.Helper()
	program := devicetest.Program(t, "nginx", "nginx-light")
	dir := t.TempDir()
	n := &nginx{authority: devicetest.NewAuthority(t), plain: freePort(t), secure: freePort(t)}
	certificate, key := n.authority.Issue(time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour), "127.0.0.1")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("cert.pem", certificate)
	write("key.pem", key)
	write("users", "alice:{PLAIN}wonder\n")
	write("big.bin", string(bytes.Repeat([]byte("0123456789abcdef"), 512<<10)))
	write("nginx.conf", fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off; default_type text/plain; root %[1]s;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen %[2]s; listen %[3]s ssl http2; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
    location = / { return 200 "{\"status\": \"ok\"}"; }
    location = /missing { return 404 "nothing here"; }
    location = /broken { return 503 "later"; }
    location = /moved { return 302 /moved2; }
    location = /moved2 { return 301 https://%[3]s/; }
    location = /loop { return 302 /loop; }
    location = /elsewhere { return 307 http://%[2]s/echo; }
    location = /odd { return 302 ftp://192.0.2.1/; }
    location = /echo { return 200 "method=$request_method auth=$http_authorization key=$http_x_key agent=$http_user_agent host=$host probe=$http_x_probe"; }
    location = /secret { auth_basic "s"; auth_basic_user_file %[1]s/users; try_files /users =404; }
    location = /drip { limit_rate 16k; try_files /big.bin =404; }
    location = /big.bin { }
  }
}
`, dir, n.plain, n.secure))
	cmd := exec.Command(program, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx: %s", log.String())
		}
	})
	for _, address := range []string{n.plain, n.secure} {
		for tries := 0; ; tries++ {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
				break
			}
			if tries == 500 {
				t.Fatalf("nginx does not listen: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return n
}

// freePort is an address at which nothing listens just now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
