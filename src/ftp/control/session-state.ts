/** The state of a session that commands read and change, with its values at the beginning. */
import type { ChecksumAlgorithm } from '../../filesystem/filesystem.ts';
import type { LoginState, Session } from '../commands/session.ts';
import type { DataConnectionSource } from '../data/data-connection-source.ts';
import { mlstFacts, type MlstFact } from '../listing/format.ts';
import { defaultDeflateLevel } from '../data/mode-z.ts';

export abstract class SessionState {
  loginState: LoginState = { step: 'greeting' };
  tls: Session['tls'];
  protectionLevel: 'C' | 'P' = 'C';
  representationType: 'A' | 'I' = 'A';
  transmissionMode: 'S' | 'Z' = 'S';
  deflateLevel = defaultDeflateLevel;
  restartOffsetBytes = 0;
  allocatedBytes: number | undefined;
  hashAlgorithm: ChecksumAlgorithm = 'SHA-256';
  failedLogins = 0;
  selectedFacts: readonly MlstFact[] = mlstFacts;
  epsvAll = false;
  dataConnectionSource: DataConnectionSource | undefined;
  transfer: Session['transfer'];
  audited: Session['audited'];

  /** REST, ALLO and RNFR apply to the next command alone (RFC 959 4.1.3, RFC 3659 5). */
  forgetPending(): void {
    this.restartOffsetBytes = 0;
    this.allocatedBytes = undefined;
    if (this.loginState.step === 'logged-in') this.loginState.login.renameFrom = undefined;
  }

  /** Whether PASV, EPSV, PORT or EPRT was answered and no command has used the data connection yet. */
  get expectsTransfer(): boolean {
    return this.dataConnectionSource !== undefined;
  }

  closeDataConnectionSource(): void {
    this.dataConnectionSource?.close();
    this.dataConnectionSource = undefined;
  }
}
