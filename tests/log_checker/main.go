// log_checker checks a transparency log with code that is not ours: tessera's fsck and proof
// packages, and torchwood's receipts. It exits with 0 only if everything verified.
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"filippo.io/torchwood"
	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const usage = `log_checker check URL VKEY ORIGIN            every tile and entry of a log
log_checker continues URL VKEY OLD_NOTE      whether the served checkpoint continues an older one
log_checker receipt FILE VKEY [WITNESS_VKEY]... a receipt, offline
log_checker agent SOCKET                     an ssh agent with a new key, for litewitness`

// patience bounds everything: fsck can wait for ever when one of its workers has given up.
const patience = 150 * time.Second

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx, os.Args[1:]) }()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		err = <-done
	} else {
		select {
		case err = <-done:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("verified")
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 4 && args[0] == "check":
		return check(ctx, args[1], args[2], args[3])
	case len(args) == 4 && args[0] == "continues":
		return continues(ctx, args[1], args[2], args[3])
	case len(args) >= 3 && args[0] == "receipt":
		return receipt(args[1], args[2], args[3:])
	case len(args) == 2 && args[0] == "agent":
		return serveAgent(args[1])
	}
	return errors.New(usage)
}

func open(at, vkey string) (*client.HTTPFetcher, note.Verifier, error) {
	root, err := url.Parse(at)
	if err != nil {
		return nil, nil, err
	}
	fetcher, err := client.NewHTTPFetcher(root, nil)
	if err != nil {
		return nil, nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	return fetcher, verifier, err
}

func check(ctx context.Context, at, vkey, origin string) error {
	fetcher, verifier, err := open(at, vkey)
	if err != nil {
		return err
	}
	return fsck.New(origin, verifier, fetcher, leaves, fsck.Opts{N: 64}).Check(ctx)
}

func leaves(bundle []byte) ([][]byte, error) {
	entries := &api.EntryBundle{}
	if err := entries.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, entry := range entries.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}

func continues(ctx context.Context, at, vkey, file string) error {
	fetcher, verifier, err := open(at, vkey)
	if err != nil {
		return err
	}
	saved, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	old, _, _, err := log.ParseCheckpoint(saved, verifier.Name(), verifier)
	if err != nil {
		return fmt.Errorf("the older checkpoint: %w", err)
	}
	now, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, verifier, verifier.Name())
	if err != nil {
		return fmt.Errorf("the served checkpoint: %w", err)
	}
	if now.Size < old.Size {
		return fmt.Errorf("rolled back: it had %d entries, now %d are served", old.Size, now.Size)
	}
	if old.Size == 0 {
		return nil
	}
	builder, err := client.NewProofBuilder(ctx, now.Size, fetcher.ReadTile)
	if err != nil {
		return err
	}
	hashes, err := builder.ConsistencyProof(ctx, old.Size, now.Size)
	if err != nil {
		return err
	}
	return proof.VerifyConsistency(
		rfc6962.DefaultHasher, old.Size, now.Size, hashes, old.Hash, now.Hash)
}

func receipt(file, vkey string, witnesses []string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	extra, err := torchwood.ProofExtraData(data)
	if err != nil {
		return err
	}
	entry, _, _ := bytes.Cut(extra, []byte("\n"))
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	all := []torchwood.Policy{
		torchwood.SingleVerifierPolicy(verifier), torchwood.OriginPolicy(verifier.Name()),
	}
	for _, one := range witnesses {
		cosigner, err := torchwood.NewCosignatureVerifier(one)
		if err != nil {
			return err
		}
		all = append(all, torchwood.SingleVerifierPolicy(cosigner))
	}
	return torchwood.VerifyProof(
		torchwood.ThresholdPolicy(len(all), all...), tlog.RecordHash(entry), data)
}

// serveAgent prints the fingerprint of the key and serves until it is killed.
func serveAgent(socket string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		return err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	fmt.Println(ssh.FingerprintSHA256(key))
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go agent.ServeAgent(keyring, connection)
	}
}
