//! Users, devices, statuses and inspections as the bodies have them. Reading checks everything: the other end may have another
//! version.

use std::io;
use std::net::Ipv6Addr;

use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, UserId};
use crate::base::limits::QUERY_USERS_MAX;
use crate::base::time::Timestamp;
use crate::logic::inspection::{DeviceInspection, Inspection, LinkInspection};
use crate::logic::record::Status;
use crate::logic::user_status::{BriefStatus, DeviceStatus, QueryDepth, StatusList, UserStatus};
use crate::protocol::transport::Transport;
use crate::services::peers::bodies::{
    DeviceBody, InspectedDevice, InspectedLink, InspectionBody, StatusesBody, UserDevices,
};

const OFFLINE: u8 = 0;
const PUSH_ONLINE: u8 = 1;
const ONLINE: u8 = 2;
const UNKNOWN_ACCOUNT: u8 = 3;
const UNAVAILABLE: u8 = 4;

pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a peer's {what} is not understood"),
    )
}

pub(super) fn put_users(users: &[UserId]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(users.len() * 16);
    for user in users {
        let name = user.as_bytes();
        bytes.push(u8::try_from(name.len()).expect("a UserID has at most 32 bytes"));
        bytes.extend_from_slice(name);
    }
    bytes
}

pub(super) fn read_user(name: &[u8]) -> io::Result<UserId> {
    UserId::new(name).map_err(|_| damaged("UserID"))
}

pub(super) fn read_users(mut bytes: &[u8]) -> io::Result<Vec<UserId>> {
    let mut users = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (name, rest) = rest
            .split_at_checked(usize::from(*length))
            .ok_or_else(|| damaged("list of users"))?;
        users.push(read_user(name)?);
        bytes = rest;
    }
    if users.is_empty() || users.len() > QUERY_USERS_MAX {
        return Err(damaged("list of users"));
    }
    Ok(users)
}

pub(super) fn put_device(device: DeviceId) -> DeviceBody {
    DeviceBody {
        platform: device.platform as u32,
        instance: device.instance.get(),
        status: 0,
        user: Vec::new(),
    }
}

pub(super) fn read_device(body: &DeviceBody) -> io::Result<DeviceId> {
    let mut platforms = Platform::ALL.into_iter();
    let platform = platforms.find(|platform| *platform as u32 == body.platform);
    let instance = InstanceId::new(body.instance);
    let (Some(platform), Some(instance)) = (platform, instance) else {
        return Err(damaged("device"));
    };
    Ok(DeviceId { platform, instance })
}

pub(super) fn put_status(status: Status) -> u8 {
    match status {
        Status::Offline => OFFLINE,
        Status::PushOnline => PUSH_ONLINE,
        Status::Online => ONLINE,
    }
}

pub(super) fn read_status(number: u8) -> io::Result<Status> {
    match number {
        OFFLINE => Ok(Status::Offline),
        PUSH_ONLINE => Ok(Status::PushOnline),
        ONLINE => Ok(Status::Online),
        _ => Err(damaged("status")),
    }
}

fn put_brief(brief: BriefStatus) -> u8 {
    match brief {
        BriefStatus::Known(status) => put_status(status),
        BriefStatus::UnknownAccount => UNKNOWN_ACCOUNT,
        BriefStatus::Unavailable | BriefStatus::Unresolved => UNAVAILABLE,
    }
}

fn read_brief(number: u8) -> io::Result<BriefStatus> {
    match number {
        UNKNOWN_ACCOUNT => Ok(BriefStatus::UnknownAccount),
        UNAVAILABLE => Ok(BriefStatus::Unavailable),
        known => read_status(known).map(BriefStatus::Known),
    }
}

pub(super) fn put_statuses(statuses: &StatusList) -> StatusesBody {
    let all = match statuses {
        StatusList::Status(all) => {
            let brief = all.iter().map(|brief| put_brief(*brief)).collect();
            return StatusesBody {
                brief,
                devices: Vec::new(),
            };
        }
        StatusList::Devices(all) => all,
    };
    let known = all.iter().filter_map(|status| match status {
        UserStatus::Known { change, devices } => Some(UserDevices {
            change: change.0,
            devices: devices.as_slice().iter().map(put_device_status).collect(),
        }),
        UserStatus::Unresolved | UserStatus::UnknownAccount | UserStatus::Unavailable => None,
    });
    StatusesBody {
        brief: all.iter().map(|status| put_brief(status.brief())).collect(),
        devices: known.collect(),
    }
}

fn put_device_status(known: &DeviceStatus) -> DeviceBody {
    let status = u32::from(put_status(known.status));
    DeviceBody {
        status,
        ..put_device(known.device)
    }
}

fn read_device_status(body: &DeviceBody) -> io::Result<DeviceStatus> {
    let status = u8::try_from(body.status).map_err(|_| damaged("status"))?;
    Ok(DeviceStatus {
        device: read_device(body)?,
        status: read_status(status)?,
    })
}

pub(super) fn read_statuses(depth: QueryDepth, users: usize, body: &StatusesBody) -> io::Result<StatusList> {
    if body.brief.len() != users {
        return Err(damaged("list of statuses"));
    }
    let brief = body.brief.iter().map(|number| read_brief(*number));
    if depth == QueryDepth::Status {
        return Ok(StatusList::Status(brief.collect::<io::Result<_>>()?));
    }
    let mut known = body.devices.iter();
    let statuses = brief.map(|brief| {
        Ok(match brief? {
            BriefStatus::UnknownAccount => UserStatus::UnknownAccount,
            BriefStatus::Unavailable | BriefStatus::Unresolved => UserStatus::Unavailable,
            BriefStatus::Known(_) => {
                let known = known.next().ok_or_else(|| damaged("list of statuses"))?;
                let devices = known.devices.iter().map(read_device_status);
                UserStatus::Known {
                    change: ChangeNumber(known.change),
                    devices: devices.collect::<io::Result<_>>()?,
                }
            }
        })
    });
    Ok(StatusList::Devices(statuses.collect::<io::Result<_>>()?))
}

pub(super) fn put_inspection(known: &Inspection) -> InspectionBody {
    let device = |device: &DeviceInspection| InspectedDevice {
        device: put_device_status(&DeviceStatus {
            device: device.device,
            status: device.status,
        }),
        session: device.session.0,
        login_at: device.login_at.0,
        heard_at: device.heard_at.0,
        until: device.until.map(|until| until.0),
        link: device.link.as_ref().map(put_link),
    };
    InspectionBody {
        user: known.user.as_bytes().to_vec(),
        change: known.change.0,
        kicked_at_s: known.kicked_at_s,
        devices: known.devices.iter().map(device).collect(),
    }
}

fn put_link(link: &LinkInspection) -> InspectedLink {
    InspectedLink {
        address: link.address.octets().to_vec(),
        transport: put_transport(link.transport),
        sdk_version: link.sdk_version.clone(),
        app_version: link.app_version.clone(),
        background: link.background,
    }
}

pub(super) fn read_inspection(body: InspectionBody) -> io::Result<Inspection> {
    let device = |device: InspectedDevice| {
        let DeviceStatus { device: id, status } = read_device_status(&device.device)?;
        Ok(DeviceInspection {
            device: id,
            status,
            session: ChangeNumber(device.session),
            login_at: Timestamp(device.login_at),
            heard_at: Timestamp(device.heard_at),
            until: device.until.map(Timestamp),
            link: device.link.map(read_link).transpose()?,
        })
    };
    Ok(Inspection {
        user: read_user(&body.user)?,
        change: ChangeNumber(body.change),
        kicked_at_s: body.kicked_at_s,
        devices: body.devices.into_iter().map(device).collect::<io::Result<_>>()?,
    })
}

fn read_link(link: InspectedLink) -> io::Result<LinkInspection> {
    let address: [u8; 16] = link.address.try_into().map_err(|_| damaged("address"))?;
    Ok(LinkInspection {
        address: Ipv6Addr::from(address),
        transport: read_transport(link.transport)?,
        sdk_version: link.sdk_version,
        app_version: link.app_version,
        background: link.background,
    })
}

fn put_transport(transport: Transport) -> u32 {
    match transport {
        Transport::Tcp => 0,
        Transport::WebSocket => 1,
        Transport::Tls => 2,
        Transport::SecureWebSocket => 3,
    }
}

fn read_transport(number: u32) -> io::Result<Transport> {
    let all = [
        Transport::Tcp,
        Transport::WebSocket,
        Transport::Tls,
        Transport::SecureWebSocket,
    ];
    let found = all
        .into_iter()
        .find(|transport| put_transport(*transport) == number);
    found.ok_or_else(|| damaged("transport"))
}
