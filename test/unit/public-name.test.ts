import { expect } from 'chai'
import { PROGRAM } from '#protocol/header.js'
import { publicName } from '#protocol/public-name.js'

describe('public name of a call', () => {
  it('follows the rule for most', () => {
    expect(publicName('DOMAIN_DESTROY')).to.equal('virDomainDestroy')
    expect(publicName('CONNECT_LIST_ALL_DOMAINS')).to.equal('virConnectListAllDomains')
    expect(publicName('STORAGE_VOL_GET_INFO')).to.equal('virStorageVolGetInfo')
  })

  const abbreviated = {
    DOMAIN_GET_XML_DESC: 'virDomainGetXMLDesc',
    DOMAIN_LOOKUP_BY_UUID: 'virDomainLookupByUUID',
    DOMAIN_LOOKUP_BY_ID: 'virDomainLookupByID',
    DOMAIN_GET_OS_TYPE: 'virDomainGetOSType',
    CONNECT_GET_URI: 'virConnectGetURI',
    CONNECT_BASELINE_CPU: 'virConnectBaselineCPU',
    NODE_GET_CPU_STATS: 'virNodeGetCPUStats',
    NODE_GET_SEV_INFO: 'virNodeGetSEVInfo',
    DOMAIN_PM_SUSPEND_FOR_DURATION: 'virDomainPMSuspendForDuration',
    DOMAIN_FSTRIM: 'virDomainFSTrim',
    DOMAIN_FSFREEZE: 'virDomainFSFreeze',
    DOMAIN_FSTHAW: 'virDomainFSThaw',
    DOMAIN_GET_FSINFO: 'virDomainGetFSInfo',
    DOMAIN_FD_ASSOCIATE: 'virDomainFDAssociate',
    DOMAIN_INJECT_NMI: 'virDomainInjectNMI',
    DOMAIN_GET_IOTHREAD_INFO: 'virDomainGetIOThreadInfo',
    DOMAIN_OPEN_GRAPHICS_FD: 'virDomainOpenGraphicsFD',
    DOMAIN_AUTHORIZED_SSH_KEYS_GET: 'virDomainAuthorizedSSHKeysGet',
    NETWORK_GET_DHCP_LEASES: 'virNetworkGetDHCPLeases',
    NWFILTER_DEFINE_XML: 'virNWFilterDefineXML',
    CONNECT_LIST_ALL_NWFILTERS: 'virConnectListAllNWFilters',
    INTERFACE_LOOKUP_BY_MAC_STRING: 'virInterfaceLookupByMACString',
    NODE_DEVICE_LOOKUP_SCSI_HOST_BY_WWN: 'virNodeDeviceLookupSCSIHostByWWN',
    DOMAIN_SET_BLOCK_IO_TUNE: 'virDomainSetBlockIoTune',
    DOMAIN_PIN_VCPU: 'virDomainPinVcpu'
  }
  for (const [name, expected] of Object.entries(abbreviated)) {
    it(`${name} is ${expected}`, () => expect(publicName(name)).to.equal(expected))
  }

  const irregular = {
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
  for (const [name, expected] of Object.entries(irregular)) {
    it(`${name} is ${expected}, against the rule`, () => expect(publicName(name)).to.equal(expected))
  }

  it('knows the other spelling of the admin program', () => {
    expect(publicName('CONNECT_OPEN', PROGRAM.admin)).to.equal('virAdmConnectOpen')
    expect(publicName('SERVER_GET_THREADPOOL_PARAMETERS', PROGRAM.admin)).to.equal(
      'virAdmServerGetThreadPoolParameters'
    )
    expect(publicName('SERVER_UPDATE_TLS_FILES', PROGRAM.admin)).to.equal('virAdmServerUpdateTlsFiles')
  })
})
