import { PROGRAM } from './header.js'

// Words that the C functions do not write as Capitalised.
const WORDS: Record<string, string> = {
  CPU: 'CPU',
  DHCP: 'DHCP',
  FD: 'FD',
  FS: 'FS',
  FSFREEZE: 'FSFreeze',
  FSINFO: 'FSInfo',
  FSTHAW: 'FSThaw',
  FSTRIM: 'FSTrim',
  ID: 'ID',
  IOTHREAD: 'IOThread',
  MAC: 'MAC',
  NMI: 'NMI',
  NWFILTER: 'NWFilter',
  NWFILTERS: 'NWFilters',
  OS: 'OS',
  PM: 'PM',
  SCSI: 'SCSI',
  SEV: 'SEV',
  SSH: 'SSH',
  THREADPOOL: 'ThreadPool',
  URI: 'URI',
  UUID: 'UUID',
  WWN: 'WWN',
  XML: 'XML'
}

// Functions that are not named after their procedure at all.
const IRREGULAR: Record<string, string> = {
  CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: 'virConnectDomainEventRegisterAny',
  CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: 'virConnectDomainEventDeregisterAny',
  DOMAIN_MONITOR_COMMAND: 'virDomainQemuMonitorCommand',
  DOMAIN_MONITOR_COMMAND_WITH_FILES: 'virDomainQemuMonitorCommandWithFiles',
  DOMAIN_ATTACH: 'virDomainQemuAttach',
  DOMAIN_AGENT_COMMAND: 'virDomainQemuAgentCommand',
  CONNECT_DOMAIN_MONITOR_EVENT_REGISTER: 'virConnectDomainQemuMonitorEventRegister',
  CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER: 'virConnectDomainQemuMonitorEventDeregister',
  DOMAIN_OPEN_NAMESPACE: 'virDomainLxcOpenNamespace'
}

/**
 * The C function behind a call, as errors name it: `DOMAIN_DESTROY` → `virDomainDestroy`. The authentication calls
 * have none; for those the result is merely formed by the rule. `program` matters for admin, which repeats names.
 */
export function publicName(procedureName: string, program: number = PROGRAM.remote): string {
  const irregular = IRREGULAR[procedureName]
  if (irregular) return irregular
  const prefix = program === PROGRAM.admin ? 'virAdm' : 'vir'
  return prefix + procedureName.split('_').map(word => WORDS[word] ?? capitalised(word)).join('')
}

const capitalised = (word: string): string => word.slice(0, 1) + word.slice(1).toLowerCase()
